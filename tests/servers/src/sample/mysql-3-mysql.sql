-- The MySQL sample, part 3 for MySQL 9: what MariaDB does not have, or writes differently.

set names utf8mb4;
set sql_mode = 'STRICT_TRANS_TABLES';
set time_zone = '+00:00';

create table clever_keys (
    id int not null primary key,
    name varchar(100) not null,
    tags json,
    a int, b int,
    key upper_name ((upper(name))),
    key computed_sum ((a + b) desc, name),
    unique key functional_unique ((concat(name, '''', id))),
    key many_tags ((cast(tags -> '$.tags' as unsigned array))),
    key not_seen (a) invisible comment 'it''s hidden',
    fulltext key grams (name) with parser ngram
) engine = InnoDB default charset = utf8mb4 collate utf8mb4_0900_as_cs;
insert into clever_keys values (1, 'one', '{"tags": [1, 2, 3]}', 1, 2), (2, 'Zwölf 日本語', '{"tags": []}', null, 3), (3, 'x', null, 5, null);

create table checks (
    id int not null primary key,
    a int, constraint enforced_not check (a > 0) not enforced,
    b int check (b in (1, 2, 3)),
    u binary(16) default (uuid_to_bin(uuid())),
    e varchar(30) default (substr(_utf8mb4'äöü🦀', 2, 3)),
    ts timestamp(3) null default (now(3) + interval 1 day)
) engine = InnoDB;
insert into checks values (1, -1, 1, 0x000102030405060708090a0b0c0d0e0f, 'x', '2024-01-01 00:00:00.123');

create table places (
    id int not null primary key,
    mercator point not null srid 3857,
    earth geometry not null srid 4326,
    anywhere geometry srid 0 default null,
    spatial key (mercator), spatial key earth (earth)
) engine = InnoDB;
insert into places values
    (1, st_geomfromtext('point(1000 2000)', 3857), st_geomfromtext('point(47.25 8.5)', 4326), null),
    (2, st_geomfromtext('point(0 0)', 3857), st_geomfromtext('polygon((0 0, 0 1, 1 1, 0 0))', 4326), st_geomfromtext('point(1 1)'));

create table vectors (id int not null primary key, v vector(4) default null, w vector) engine = InnoDB;
insert into vectors values (1, string_to_vector('[1, -2.5, 0.1, 3.4028235e38]'), to_vector('[0]')), (2, null, null), (3, 0x000000000000803f0000004027220a5c, to_vector('[1,2,3]'));

-- A primary key that nobody sees.
set session sql_generate_invisible_primary_key = on;
create table invisible_key (a int, b varchar(10)) engine = InnoDB default charset = utf8mb4;
insert into invisible_key values (1, 'a'), (1, 'a'), (2, 'b');
set session sql_generate_invisible_primary_key = off;

create table own_options (
    id int not null primary key, t text
) engine = InnoDB default charset = utf8mb4 row_format = compressed key_block_size = 8 stats_persistent = 1 stats_sample_pages = 30 comment = 'options';
insert into own_options values (1, 'x');
create table collations (
    id int not null primary key,
    de varchar(20) collate utf8mb4_de_pb_0900_ai_ci, ja varchar(20) collate utf8mb4_ja_0900_as_cs_ks, bin varchar(20) collate utf8mb4_0900_bin, old varchar(20) charset utf8mb3
) engine = InnoDB default charset = utf8mb4 collate utf8mb4_0900_ai_ci;
insert into collations values (1, 'ä', 'は', 'x', 'é');

create view lateral_view as
    select c.id, latest.placed from customer as c, lateral (select max(placed) as placed from orders as o where o.customer = c.id) as latest;

delimiter //
create procedure signals(in a int) sql security invoker modifies sql data
begin
    if a < 0 then signal sqlstate '45000' set message_text = 'it''s negative'; end if;
end//
delimiter ;
