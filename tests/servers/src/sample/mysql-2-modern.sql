-- The MySQL sample, part 2: what MySQL from 8 on and MariaDB from 10.8 on have in common.

set names utf8mb4;
set sql_mode = 'STRICT_TRANS_TABLES';
set time_zone = '+00:00';

create table computed (
    id int not null auto_increment primary key,
    a int not null default (1 + 2),
    doubled int generated always as (a * 2) virtual comment 'It''s computed',
    stored_text varchar(60) generated always as (concat('a=', a, '; it''s ', name)) stored,
    name varchar(20) not null default 'x',
    hidden int invisible default 7,
    hidden_computed int generated always as (a + 100) virtual invisible,
    tail varchar(10) default null,
    unique key by_doubled (doubled),
    key by_stored (stored_text desc, a),
    constraint `a is not 13` check (a <> 13),
    check (name <> 'it''s; \\')
) engine = InnoDB default charset = utf8mb4;
insert into computed (a, name, hidden, tail) values (1, 'one', 11, null), (2, 'it''s two', default, 'b'), (-3, '日本🦀', null, '');

create table fractions (
    id int not null primary key,
    t3 time(3), t6 time(6), dt1 datetime(1), dt6 datetime(6) default current_timestamp(6) on update current_timestamp(6),
    ts6 timestamp(6) null default null, ts0 timestamp not null default current_timestamp on update current_timestamp
) engine = InnoDB;
insert into fractions values
    (1, '-838:59:58.999', '12:34:56.000001', '2024-02-29 23:59:59.9', '9999-12-31 23:59:59.499999', '1970-01-01 00:00:01.000001', '2024-01-01 00:00:00'),
    (2, '00:00:00.001', '-00:00:00.000001', '1000-01-01 00:00:00.0', '1000-01-01 00:00:00.000000', '2038-01-19 03:14:07.499999', '2024-01-01 00:00:00'),
    (3, null, null, null, null, null, '2024-01-01 00:00:00');

create table documents (
    id int not null primary key,
    body json default null,
    title varchar(100) not null,
    text_ text,
    place point not null,
    fulltext key words (title, text_),
    fulltext key `only title` (title) comment 'it''s one',
    spatial key place (place)
) engine = InnoDB default charset = utf8mb4;
insert into documents values
    (1, '{"a": [1, 2.5, null, true, "it''s \\"q\\" \\\\ \\n 日本🦀"], "big": 18446744073709551615, "": {}}', 'The quick fox', 'brown fox jumps', st_geomfromtext('point(1.5 -2.25)')),
    (2, 'null', 'NULL', null, st_geomfromtext('point(0 0)')),
    (3, null, 'a', '', st_geomfromtext('point(-179.999999999999 89.1)')),
    (4, '"a string"', '日本', 'x', st_geomfromtext('point(1e300 1e-300)')),
    (5, '[]', '', '''', st_geomfromtext('point(0.1 0.3)'));

insert into geometries_of_all_kinds values
    (1, st_geomfromtext('point(1 2)'), st_geomfromtext('point(0.1 -0.2)'), st_geomfromtext('linestring(0 0, 1 1, 2 0.5)'),
        st_geomfromtext('polygon((0 0, 10 0, 10 10, 0 10, 0 0), (2 2, 4 2, 4 4, 2 4, 2 2))'), st_geomfromtext('multipoint((1 1), (2 2))'),
        st_geomfromtext('multilinestring((0 0, 1 1), (2 2, 3 3))'), st_geomfromtext('multipolygon(((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5)))'),
        st_geomfromtext('geometrycollection(point(1 1), linestring(0 0, 1 1))')),
    (2, st_geomfromtext('point(8.5 47.25)', 4326), null, null, null, null, null, null, null),
    (3, null, null, null, null, null, null, null, null),
    (4, st_geomfromtext('geometrycollection(point(1 1))'), st_geomfromtext('point(1 1)', 0), null, null, null, null, null, null);

create table many_defaults (
    id int not null primary key,
    e varchar(40) default (concat('it''s ', 1 + 1, ';')),
    t text default ('a \\ b'),
    j json default (json_array(1, 'x')),
    b bit(5) default b'10101',
    n decimal(8, 3) default -1.500,
    h binary(4) default 0x00ff2761,
    c char(3) character set latin1 default 'äb',
    ts timestamp not null default '2020-01-01 00:00:00'
) engine = InnoDB default charset = utf8mb4;
insert into many_defaults (id) values (1), (2);

create table mixed_keys (
    a int not null, b int, c varchar(100), d text,
    primary key (a),
    key descending (b desc, c asc),
    unique key prefix (d(12) desc),
    key `it's "odd"` (c(5)) comment 'quote '' and \\ and\nnewline'
) engine = InnoDB default charset = utf8mb4 collate utf8mb4_unicode_ci;
insert into mixed_keys values (1, 1, 'a', 'text one'), (2, null, null, null), (3, 3, 'ä', 'text three');

create view b_tree as
    with recursive tree (id, name, path) as (
        select id, name, cast(name as char(500)) from category where parent is null
        union all
        select c.id, c.name, concat(t.path, ' / ', c.name) from category as c join tree as t on c.parent = t.id
    )
    select id, path, row_number() over (partition by length(path) order by id) as place from tree;

-- In this order, which is not that of their names or their making.
delimiter //
create trigger z_first before insert on audit for each row set new.step = new.step + 1//
create trigger a_third before insert on audit for each row follows z_first set new.step = new.step * 10//
create trigger m_second before insert on audit for each row follows z_first set new.step = new.step + 5//
create trigger k_zeroth before insert on audit for each row precedes z_first set new.step = 2//
set sql_mode = 'ANSI_QUOTES'//
create definer = 'sample_owner'@'localhost' trigger `it's last` before insert on audit for each row follows a_third set new."what" = concat(new."what", '\!')//
set sql_mode = 'STRICT_TRANS_TABLES'//
create function reads_json(j json) returns int deterministic return json_length(j)//
delimiter ;
