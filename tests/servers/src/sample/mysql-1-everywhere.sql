-- The MySQL sample, part 1: what every version knows, MySQL 5.5 included. Later parts build upon these tables.

set names utf8mb4;
set sql_mode = 'STRICT_TRANS_TABLES';
set time_zone = '+00:00';

-- A small shop --------------------------------------------------------------------------------------------------------

create table category (
    id int unsigned not null auto_increment,
    parent int unsigned default null comment 'NULL: at the top',
    name varchar(80) character set utf8mb4 collate utf8mb4_bin not null,
    primary key (id),
    unique key name_in_parent (parent, name),
    constraint category_parent foreign key (parent) references category (id) on delete set null on update cascade
) engine = InnoDB default charset = utf8mb4 comment = 'A tree that refers to itself';

create table customer (
    id bigint unsigned not null auto_increment primary key,
    name varchar(120) not null default '',
    email varchar(150) default null,
    born date default null,
    gender enum('f', 'm', 'x', 'it''s odd', 'Rück,frage', '') default null,
    interests set('books', 'music', 'garden tools', 'sp\\ort', 'naïve') not null default 'books,music',
    discount decimal(5, 2) unsigned zerofill default null,
    vip tinyint(1) not null default '0',
    created_at timestamp not null default current_timestamp on update current_timestamp comment 'When it changed; a "name" of `old` times',
    unique key email (email),
    key by_name (name(20), born),
    key by_birth using btree (born) comment 'who gets a letter; isn''t it'
) engine = InnoDB auto_increment = 1000 default charset = utf8mb4 comment = 'Who buys:\nline two, a \\ backslash, ''quotes'', äöü 日本語;';

create table product (
    sku binary(8) not null,
    category int unsigned not null,
    title varchar(100) character set latin1 collate latin1_german1_ci not null,
    price decimal(12, 4) not null,
    weight float default null,
    description mediumtext,
    picture longblob,
    primary key (sku),
    key category (category),
    constraint `product's category` foreign key (category) references category (id) on update cascade
) engine = InnoDB default charset = utf8mb4 row_format = dynamic;

create table orders (
    id int not null auto_increment,
    customer bigint unsigned not null,
    status enum('new', 'paid', 'shipped', 'returned') not null default 'new',
    placed datetime not null,
    note text,
    primary key (id),
    key customer (customer, placed),
    constraint orders_customer foreign key (customer) references customer (id)
) engine = InnoDB default charset = utf8mb4;

-- Before `orders` by name, after it by foreign key.
create table item (
    order_id int not null,
    line smallint unsigned not null,
    sku binary(8) not null,
    amount int not null default '1',
    price decimal(12, 4) not null,
    primary key (order_id, line),
    key sku (sku),
    constraint item_order foreign key (order_id) references orders (id) on delete cascade,
    constraint item_product foreign key (sku) references product (sku) on delete restrict
) engine = InnoDB default charset = utf8mb4;

create table audit (
    id bigint not null auto_increment primary key,
    what varchar(200) not null,
    who varchar(288) not null,
    step int not null default 0
) engine = InnoDB default charset = utf8mb4;

-- Values that a dump might get wrong; none of four bytes in names, comments, defaults or lists, where the servers' own SHOW
-- CREATE TABLE prints them as '?' ------------------------------------------------------------------------------------

create table numbers_of_all_kinds (
    id int not null primary key,
    t tinyint, tu tinyint unsigned, tz tinyint(3) unsigned zerofill,
    s smallint, su smallint unsigned, m mediumint, mu mediumint unsigned,
    i int, iu int unsigned, iz int(10) unsigned zerofill, b bigint, bu bigint unsigned,
    d decimal(65, 30), d0 decimal(65, 0), du decimal(10, 2) unsigned,
    f float, fu float unsigned, f2 float(7, 3), g double, g2 double(22, 5), gu double unsigned,
    b1 bit(1), b7 bit(7), b64 bit(64), y year
) engine = InnoDB;
insert into numbers_of_all_kinds values
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'0', b'0', b'0', 0),
    (1, -128, 255, 7, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295, 42, -9223372036854775808, 18446744073709551615,
        -99999999999999999999999999999999999.999999999999999999999999999999, 99999999999999999999999999999999999999999999999999999999999999999,
        99999999.99, -3.402823466e38, 3.402823466e38, -9999.999, -1.7976931348623157e308, 12345678901234567.12345, 1.7976931348623157e308,
        b'1', b'1111111', b'1111111111111111111111111111111111111111111111111111111111111111', 2155),
    (2, 127, 128, 255, 32767, 32768, 8388607, 8388608, 2147483647, 2147483648, 4294967295, 9223372036854775807, 9223372036854775808,
        0.000000000000000000000000000001, -1, 0.01, 1.17549435e-38, 1e-38, 0.001, 2.2250738585072014e-308, 0.00001, 5e-324,
        b'0', b'0100111', b'0010011100000000010111000000110100001010000110100010001001100000', 1901),
    (3, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
    (4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0.1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, b'1', b'1', b'1', 1970),
    (5, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0.3, 3, 3, 16777217, 3.1415927, 3.142, 0.1e0 + 0.2e0, 3.14159, 3.141592653589793, b'1', b'11', b'11', 2000),
    (6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 1.0000001, 8388608.5, 1.001, 9007199254740993, 6, 1e23, b'1', b'110', b'110', 2026);

create table floats (
    id int unsigned not null primary key,
    f float not null,
    g double not null
) engine = InnoDB comment = 'Values of which six digits, as they are printed, are not enough';
insert into floats
select n, (n * 7919 + 1) / 1048573e0, (n * 104729 + 1) / 4503599627370517e0
from (select a.n + b.n * 16 as n
    from (select 0 as n union all select 1 union all select 2 union all select 3 union all select 4 union all select 5 union all select 6 union all select 7
        union all select 8 union all select 9 union all select 10 union all select 11 union all select 12 union all select 13 union all select 14 union all select 15) as a,
        (select 0 as n union all select 1 union all select 2 union all select 3 union all select 4 union all select 5 union all select 6 union all select 7) as b) as many;

create table times_of_all_kinds (
    id int not null primary key,
    d date, t time, dt datetime, ts timestamp null default null, y year(4),
    d0 date not null default '0000-00-00',
    dt0 datetime not null default '1999-12-31 23:59:59'
) engine = InnoDB;
set sql_mode = 'ALLOW_INVALID_DATES';
insert into times_of_all_kinds values
    (1, '0000-00-00', '00:00:00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', 0, '0000-00-00', '0000-00-00 00:00:00'),
    (2, '1000-01-01', '-838:59:59', '1000-01-01 00:00:00', '1970-01-01 00:00:01', 1901, '2024-02-29', '2024-02-29 12:00:00'),
    (3, '9999-12-31', '838:59:59', '9999-12-31 23:59:59', '2038-01-19 03:14:07', 2155, '0001-00-00', '0001-01-01 00:00:00'),
    (4, '2024-02-31', '-00:00:01', '2024-00-00 10:11:12', '2024-03-31 01:30:00', 2024, '2024-01-00', '2024-02-31 00:00:00'),
    (5, null, null, null, null, null, '2000-01-01', '2000-01-01 00:00:00'),
    -- Twice the same wall clock in Berlin.
    (6, null, null, '2024-10-27 02:30:00', '2024-10-27 00:30:00', null, '2000-01-01', '2000-01-01 00:00:00'),
    (7, null, null, '2024-10-27 02:30:00', '2024-10-27 01:30:00', null, '2000-01-01', '2000-01-01 00:00:00');
set sql_mode = 'STRICT_TRANS_TABLES';

create table texts_of_all_kinds (
    id int not null primary key,
    c char(10) character set utf8mb4, v varchar(200) character set utf8mb4 collate utf8mb4_bin default 'it''s "a" \\ default\n日本',
    l varchar(50) character set latin1, w varchar(50) character set cp1251, a char(5) character set ascii, u varchar(50) character set ucs2,
    j varchar(50) character set sjis, k varchar(50) character set gbk,
    bi binary(6), vb varbinary(300), tb tinyblob, bl blob, mb mediumblob, lb longblob,
    tt tinytext, tx text character set utf8mb4, mt mediumtext, lt longtext character set latin1,
    e enum('a', 'b''c', 'd"e', 'f\\g', 'ä日本') character set utf8mb4, s set('x', 'y''z', 'ö')
) engine = InnoDB default charset = utf8mb4;
insert into texts_of_all_kinds (id) values (1);
insert into texts_of_all_kinds values
    (2, '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', 'a', ''),
    (3, 'NULL', 'NULL', 'null', '\\N', '\\N', '''', '"', '`', 'NULL', 'NULL', 'NULL', '\\N', 0x5c4e, '\\', '--', '/* x */', '# y', '; drop table t', 'a', 'x'),
    (4, 'a\tb', 'line\nline\r\nline\r', 'äöüß€', 'Привет', '~', '日本', '表示ソ', '中文縗', 0x00, 0x000a0d1a22275c00, 0xff, 0xfe00ff, 0x80, 0xc3, 'tab\t', 'nul \0 in text', '\Z\b', 'Ÿþ', 'b''c', 'x,y''z,ö'),
    (5, '🦀🦀', 'trailing spaces  ', ' leading', '', 'a''b', '\'', 'ー', '\\', 'abc   ', 'abc   ', ' ', '%_', '\\%\\_', '\\''', '{"not": "json"}', '?:@x', '0x41', 'x''41''', 'd"e', 'ö'),
    (6, '%s %d', 'https://example.org/?a=b&c=%20', 'a;b', 'c', 'd', 'e', 'f', 'g', '\\0', repeat(0x27, 300), repeat(0x5c, 255), repeat(0x00, 1000),
        repeat(0x0a, 70000), repeat(0xfffe2722, 30000), repeat('''', 100), repeat('\\', 20000), repeat('日本語🦀', 30000), repeat('line\n', 20000), 'f\\g', ''),
    (7, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, 'ä日本', 'y''z');
-- Values no list has: index 0, which prints as the empty string.
set sql_mode = '';
insert into texts_of_all_kinds (id, e, s) values (8, 'none of these', 'nor this');
set sql_mode = 'STRICT_TRANS_TABLES';

create table geometries_of_all_kinds (
    id int not null primary key,
    g geometry, p point, l linestring, a polygon, mp multipoint, ml multilinestring, ma multipolygon, gc geometrycollection
) engine = InnoDB;

-- Keys that are hard to split -----------------------------------------------------------------------------------------

create table no_key (a int, b varchar(20)) engine = InnoDB default charset = utf8mb4 comment = 'Rows that are equal';
insert into no_key values (1, 'a'), (1, 'a'), (1, 'a'), (null, null), (null, null), (2, 'b');
create table unique_with_nulls (a int, b int, unique key ab (a, b)) engine = InnoDB;
insert into unique_with_nulls values (1, null), (1, null), (null, 1), (null, null), (1, 1);
create table zero_id (id int not null auto_increment primary key, t varchar(10)) engine = InnoDB default charset = utf8mb4;
set sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
insert into zero_id values (0, 'zero'), (1, 'one'), (-5, 'minus');
set sql_mode = 'STRICT_TRANS_TABLES';
create table huge_id (id bigint unsigned not null primary key, t varchar(10)) engine = InnoDB default charset = utf8mb4;
insert into huge_id values (0, 'first'), (9223372036854775808, 'middle'), (18446744073709551615, 'last'), (18446744073709551614, 'nearly');
create table sparse_id (id bigint not null primary key) engine = InnoDB;
insert into sparse_id values (-9223372036854775808), (-1), (0), (1), (2), (3), (9223372036854775807);
create table text_key (
    k varchar(60) character set utf8mb4 not null, n int not null, d datetime not null,
    primary key (k, n, d)
) engine = InnoDB default charset = utf8mb4;
insert into text_key values ('', 0, '2000-01-01'), ('a''b', 1, '2000-01-01'), ('A', 2, '2000-01-01'), ('ä', 3, '2000-01-01'), ('日本', 4, '2000-01-01'), ('\\', 5, '2000-01-01');
create table binary_key (k varbinary(16) not null primary key, t varchar(10)) engine = InnoDB default charset = utf8mb4;
insert into binary_key values ('', 'empty'), (0x00, 'nul'), (0x0000, 'two'), (0x27, 'quote'), (0x5c27, 'more'), (0xff, 'last'), (0xc3, 'half');
create table next_is_far (id int not null auto_increment primary key) engine = InnoDB auto_increment = 5000000;
create table empty_one (id int not null auto_increment primary key, t text) engine = InnoDB default charset = utf8mb4;
create table wide_rows (id int not null primary key, a longblob, b longtext) engine = InnoDB default charset = latin1;
insert into wide_rows values (1, repeat(0x00275c0a, 60000), repeat('it''s\\', 40000)), (2, '', null), (3, null, repeat('x', 250000));

-- Partitions ----------------------------------------------------------------------------------------------------------

create table by_year (
    id int not null, day date not null, amount decimal(10, 2) default null,
    primary key (id, day), key (amount)
) engine = InnoDB default charset = utf8mb4
partition by range (year(day)) (
    partition p2022 values less than (2023) comment = 'the ''old'' ones',
    partition p2023 values less than (2024),
    partition `p later` values less than maxvalue
);
insert into by_year values (1, '2022-05-05', 1.5), (2, '2023-01-01', 2.5), (3, '2024-12-31', null), (4, '1999-01-01', 4);
create table by_columns (a int not null, b varchar(10) not null, c int) engine = InnoDB default charset = utf8mb4
partition by range columns (a, b) (
    partition low values less than (10, 'm'), partition high values less than (20, maxvalue), partition rest values less than (maxvalue, maxvalue));
insert into by_columns values (1, 'a', 1), (10, 'z', 2), (30, 'x', 3);
create table by_list (a int not null, b int) engine = InnoDB
partition by list (a) (partition odd values in (1, 3, 5), partition even values in (2, 4), partition nothing values in (0));
insert into by_list values (1, 1), (2, 2), (0, 0);
create table by_hash (id int not null primary key, t varchar(9)) engine = InnoDB default charset = utf8mb4 partition by linear hash (id) partitions 3;
insert into by_hash values (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');
create table by_key_and_range (id int not null, d date not null, primary key (id, d)) engine = InnoDB
partition by range (to_days(d)) subpartition by hash (id) subpartitions 2 (
    partition p0 values less than (738000), partition p1 values less than maxvalue);
insert into by_key_and_range values (1, '2000-01-01'), (2, '2024-01-01');

-- Views: the first by name depends on the last ------------------------------------------------------------------------

create algorithm = merge definer = 'sample_owner'@'localhost' sql security definer view z_customer as
    select id, name, email, `vip` as `vip "yes/no"` from customer where vip = 1 with local check option;
create algorithm = temptable sql security invoker view m_summary (customer, orders, `größte`) as
    select c.id, count(o.id), max(o.placed) from z_customer as c left join orders as o on o.customer = c.id group by c.id;
create view a_report as select s.customer, z.name, s.orders, concat('it''s \\ "', z.name, '"') as label from m_summary as s join z_customer as z on z.id = s.customer;
create view checked as select id, status from orders where status <> 'returned' with cascaded check option;

-- Triggers, routines, events: each with its own sql_mode, character set and definer -----------------------------------

delimiter //
create definer = 'sample_owner'@'localhost' trigger orders_ai after insert on orders for each row
begin
    insert into audit (what, who) values (concat('order ', new.id, '; it''s ', new.status), current_user());
end//
create trigger customer_bu before update on customer for each row
begin
    -- A comment; with a semicolon and a 'quote
    if new.name <> old.name then set new.name = trim(new.name); end if;
end//
create trigger item_bd before delete on item for each row insert into audit (what, who) values ('gone', user())//

set sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES'//
create definer = 'sample_owner'@'localhost' function shout(word varchar(50) character set latin1) returns varchar(60) charset utf8mb4
    deterministic no sql sql security invoker comment 'Says "it''s" loud'
    return upper(word) || '\!'//
create trigger customer_ad after delete on customer for each row insert into "audit" ("what", "who") values ('\' || old.id, 'x')//
set sql_mode = 'STRICT_TRANS_TABLES', names latin1//
create procedure count_orders(in which bigint unsigned, out many int, inout note text)
    reads sql data comment ''
begin
    declare continue handler for not found set many = -1;
    select count(*) into many from orders where customer = which;
    set note = concat(ifnull(note, ''), '\'\\ ', many);
end//
set names utf8mb4//
create procedure empty_body() begin end//
create function `größe 日本`(a int) returns int deterministic return a + 1//
create function `same name`(a int) returns int deterministic return a//
create procedure `same name`() select 'same name'//

set time_zone = 'Asia/Kolkata'//
create definer = 'sample_owner'@'localhost' event nightly on schedule every 1 day starts '2030-01-01 03:00:00' ends '2037-01-01 00:00:00'
    on completion preserve disable comment 'It''s "late"; \\' do
begin
    delete from audit where id < 0;
    set @x = 'a;b';
end//
set time_zone = '+02:00', sql_mode = 'ANSI_QUOTES'//
create event once on schedule at '2037-06-01 12:00:00' on completion preserve do insert into "audit" ("what", "who") values ('event', 'x')//
set time_zone = '+00:00', sql_mode = 'STRICT_TRANS_TABLES'//
create event `odd hours` on schedule every '1:30' hour_minute starts '2036-01-01 00:00:00' disable do do 1//
delimiter ;
