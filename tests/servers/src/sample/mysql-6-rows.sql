-- The MySQL sample, the start of its rows: nothing random, no clock, and no MD5, which MySQL 9.7 has no more. A step, run once a megabyte, follows.

set names utf8mb4;
set sql_mode = 'STRICT_TRANS_TABLES';
set time_zone = '+00:00';

create temporary table number (n int not null primary key) engine = InnoDB;
-- 0 to 2047. MySQL opens a temporary table once a statement.
insert into number
select 1 * b0.bit + 2 * b1.bit + 4 * b2.bit + 8 * b3.bit + 16 * b4.bit + 32 * b5.bit + 64 * b6.bit + 128 * b7.bit + 256 * b8.bit + 512 * b9.bit + 1024 * b10.bit
from (select 0 as bit union all select 1) as b0,
    (select 0 as bit union all select 1) as b1,
    (select 0 as bit union all select 1) as b2,
    (select 0 as bit union all select 1) as b3,
    (select 0 as bit union all select 1) as b4,
    (select 0 as bit union all select 1) as b5,
    (select 0 as bit union all select 1) as b6,
    (select 0 as bit union all select 1) as b7,
    (select 0 as bit union all select 1) as b8,
    (select 0 as bit union all select 1) as b9,
    (select 0 as bit union all select 1) as b10;

create table event_log (
    id bigint unsigned not null auto_increment,
    happened datetime not null,
    kind enum('view', 'click', 'buy', 'return') not null,
    session char(32) character set ascii not null,
    ratio float not null,
    total double default null,
    amount decimal(14, 4) not null,
    agent varchar(120) default null,
    payload varbinary(100) not null,
    message text,
    primary key (id),
    key happened (happened, kind)
) engine = InnoDB default charset = utf8mb4;

insert into category (id, parent, name) select n + 1, null, concat('Category ', n) from number where n < 8 order by n;
insert into category (id, parent, name) select n + 1, 1 + n % 8, concat('Unter''kategorie "', n, '" 日本') from number where n between 8 and 59 order by n;
insert into product (sku, category, title, price, weight, description, picture)
select unhex(lpad(hex(n), 16, '0')), 1 + n % 60, concat('Größe ', n), n * 1.0001, (n + 1) / 7e0,
    if(n % 5 = 0, null, concat('Line one\nit''s "', n, '" \\ 🦀')), if(n % 3 = 0, null, repeat(unhex(lpad(hex(n * 2654435761), 32, '5c2700ff')), 8))
from number where n < 500 order by n;
