-- Users, roles and grants for MySQL 9, on top of the sample in the current database.

create role if not exists sample_reader, 'sample writer'@'localhost', 'unused role';
create user if not exists 'sample_plain'@'%' identified with caching_sha2_password by 'plain-password';
create user if not exists 'sample_old'@'10.0.0.0/255.255.255.0' identified with sha256_password by 'old-password' require ssl;
create user if not exists 'it''s "odd" `user`'@'localhost' identified with caching_sha2_password by 'odd''password' comment 'it''s a comment';
create user if not exists 'sample_x509'@'192.0.2.%' identified by 'x' require subject '/CN=it''s' and issuer '/CN=issuer' cipher 'ECDHE-RSA-AES256-GCM-SHA384';
create user if not exists 'sample_limits'@'::1' identified by 'x' with max_queries_per_hour 10 max_user_connections 3
    password expire interval 90 day password history 5 failed_login_attempts 4 password_lock_time 2 account lock attribute '{"team": "it''s us"}';
create user if not exists 'sample_two'@'%' identified by 'first';
alter user 'sample_two'@'%' identified by 'second' retain current password;
create user if not exists 'sample_expired'@'%' identified by 'x' password expire;

grant select on * to sample_reader;
grant insert, update, delete on * to 'sample writer'@'localhost';
grant sample_reader to 'sample writer'@'localhost', 'sample_plain'@'%' with admin option;
set default role sample_reader to 'sample_plain'@'%';
grant select (id, name), update (name), insert (name), references (id) on customer to 'sample_plain'@'%';
grant select on orders to 'sample_plain'@'%' with grant option;
grant execute on procedure count_orders to 'it''s "odd" `user`'@'localhost';
grant execute, alter routine on function shout to sample_reader;
grant all on `sample\_%`.* to 'sample_old'@'10.0.0.0/255.255.255.0';
grant process, reload, replication client on *.* to 'sample_two'@'%';
grant backup_admin, connection_admin on *.* to 'sample_two'@'%' with grant option;
grant proxy on 'sample_plain'@'%' to 'sample_two'@'%';
