-- Tables of engines without transactions: no snapshot holds them still, so they are apart.

set names utf8mb4;
set sql_mode = 'STRICT_TRANS_TABLES';

create table myisam (
    id int not null auto_increment, site char(2) not null, t varchar(50) default null, body text, place point not null,
    primary key (site, id), fulltext key body (body), spatial key place (place)
) engine = MyISAM default charset = utf8mb4 checksum = 1 delay_key_write = 1;
insert into myisam (site, t, body, place) values ('a', 'one', 'some words', point(1, 2)), ('b', 'it''s', 'more words', point(0, 0)), ('a', '日本🦀', null, point(3, 4));
create table myisam_without_key (a int, b blob) engine = MyISAM;
insert into myisam_without_key values (1, 0x00ff27), (1, 0x00ff27), (null, null);
create table in_memory (id int not null primary key, t varchar(10), key using hash (t)) engine = MEMORY default charset = utf8mb4 max_rows = 100;
insert into in_memory values (1, 'a');
create table comma_separated (a int not null, b varchar(50) not null) engine = CSV default charset = utf8mb4;
insert into comma_separated values (1, 'a,"b"'), (2, '');
create table part_one (a int not null, key (a)) engine = MyISAM;
create table part_two (a int not null, key (a)) engine = MyISAM;
insert into part_one values (1);
insert into part_two values (2);
create table merged (a int not null, key (a)) engine = MRG_MyISAM union = (part_one, part_two) insert_method = last;
