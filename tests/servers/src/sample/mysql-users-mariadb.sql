-- Users, roles and grants for MariaDB, on top of the sample in the current database.

create role if not exists sample_reader;
create role if not exists `sample writer`;
create role if not exists `unused role`;
create user if not exists 'sample_plain'@'%' identified via mysql_native_password using password('plain-password');
create user if not exists 'sample_old'@'10.0.0.0/255.255.255.0'
    identified via ed25519 using password('old-password') or mysql_native_password using password('other') require ssl;
create user if not exists 'it''s "odd" `user`'@'localhost' identified by 'odd''password';
create user if not exists 'sample_x509'@'192.0.2.%' identified by 'x' require subject '/CN=it''s' and issuer '/CN=issuer';
create user if not exists 'sample_limits'@'::1' identified by 'x' with max_queries_per_hour 10 max_user_connections 3 max_statement_time 1.5
    password expire interval 90 day account lock;
create user if not exists 'sample_two'@'%' identified by 'first';
create user if not exists 'sample_expired'@'%' identified by 'x' password expire;
create user if not exists 'sample_socket'@'localhost' identified via unix_socket;

grant select on * to sample_reader;
grant insert, update, delete on * to `sample writer`;
grant sample_reader to `sample writer`;
grant sample_reader to 'sample_plain'@'%' with admin option;
set default role sample_reader for 'sample_plain'@'%';
grant select (id, name), update (name), insert (name), references (id) on customer to 'sample_plain'@'%';
grant select on orders to 'sample_plain'@'%' with grant option;
grant execute on procedure count_orders to 'it''s "odd" `user`'@'localhost';
grant execute, alter routine on function shout to sample_reader;
-- MariaDB 10.11 knows the word in this mode only.
set sql_mode = 'ORACLE';
grant execute on package tools to sample_reader;
set sql_mode = 'STRICT_TRANS_TABLES';
grant all on `sample\_%`.* to 'sample_old'@'10.0.0.0/255.255.255.0';
grant process, reload, binlog monitor on *.* to 'sample_two'@'%';
grant delete history on versioned to 'sample_two'@'%';
grant proxy on 'sample_plain'@'%' to 'sample_two'@'%';
grant usage on *.* to public;
