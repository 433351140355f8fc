-- The MySQL sample, part 3 for MariaDB 10.11 and 11.8: what MySQL does not have, or writes differently.

set names utf8mb4;
set sql_mode = 'STRICT_TRANS_TABLES';
set time_zone = '+00:00';

-- Sequences -----------------------------------------------------------------------------------------------------------

create sequence order_number start with 100000 increment by 1 cache 5;
select nextval(order_number), nextval(order_number);
create sequence countdown start with 1000 increment by -5 minvalue -1000 maxvalue 1000 cycle nocache;
select nextval(countdown);
create sequence never_used start with 42 minvalue 1 maxvalue 1000 comment = 'it''s new';
create table numbered (id bigint not null default nextval(order_number) primary key, t varchar(10)) engine = InnoDB default charset = utf8mb4;
insert into numbered (t) values ('a'), ('b');

-- Time ----------------------------------------------------------------------------------------------------------------

set timestamp = 1700000000;
create table versioned (id int not null primary key, t varchar(20) default null) engine = InnoDB default charset = utf8mb4 with system versioning;
insert into versioned values (1, 'old'), (2, 'two'), (3, 'gone');
set timestamp = 1700003600;
update versioned set t = 'new' where id = 1;
delete from versioned where id = 3;
create table versioned_by_name (
    id int not null primary key,
    t varchar(20) default null,
    without_ int default null without system versioning,
    since timestamp(6) generated always as row start invisible,
    until timestamp(6) generated always as row end invisible,
    period for system_time (since, until)
) engine = InnoDB default charset = utf8mb4 with system versioning;
insert into versioned_by_name (id, t) values (1, 'a'), (2, 'b');
set timestamp = 1700007200;
update versioned_by_name set t = 'c' where id = 2;
create table versioned_in_parts (id int not null, primary key (id)) engine = InnoDB with system versioning
partition by system_time (partition p_old history, partition p_now current);
insert into versioned_in_parts values (1), (2);
set timestamp = 1700010800;
delete from versioned_in_parts where id = 2;
create table booked (
    room int not null, since date not null, until date not null,
    period for stay (since, until),
    primary key (room, stay without overlaps)
) engine = InnoDB;
insert into booked values (1, '2024-01-01', '2024-01-05'), (1, '2024-01-05', '2024-01-09'), (2, '2024-01-02', '2024-01-03');
set timestamp = default;

-- Types and keys ------------------------------------------------------------------------------------------------------

create table addresses (
    id uuid not null default uuid() primary key, four inet4 default null, six inet6 default '::',
    squeezed text compressed default null, note varchar(1000) compressed = zlib default 'it''s'
) engine = InnoDB default charset = utf8mb4;
insert into addresses values
    ('00010203-0405-6607-8809-0a0b0c0d0e0f', '192.0.2.1', '2001:db8::ff', repeat('squeeze ', 500), 'x'),
    ('ffffffff-ffff-4fff-bfff-ffffffffffff', null, '::ffff:192.0.2.1', null, null);
create table ignored_keys (
    id int not null primary key, a int, key seldom (a) ignored comment 'it''s off',
    constraint a_positive check (a > 0)
) engine = InnoDB page_compressed = 1;
insert into ignored_keys values (1, 1);
create table checked_documents (id int not null primary key, body longtext check (json_valid(body)), d blob) engine = InnoDB default charset = utf8mb4;
insert into checked_documents values (1, '{"b": 1, "a": 2,   "a": 3}', column_create('name', 'it''s', 'n', 5));
create table collations (id int not null primary key, a varchar(20) collate utf8mb4_nopad_bin, b varchar(20) collate uca1400_ai_ci) engine = InnoDB default charset = utf8mb4;
insert into collations values (1, 'a ', 'ä');
/*M!110700 create table vectors (id int not null primary key, v vector(4) not null, vector key by_distance (v) distance = cosine m = 8) engine = InnoDB */;
/*M!110700 insert into vectors values (1, vec_fromtext('[1, -2.5, 0.1, 3.25]')), (3, 0x000000000000803f0000004027220a5c) */;

-- Routines ------------------------------------------------------------------------------------------------------------

delimiter //
create aggregate function total(x int) returns int deterministic
begin
    declare s int default 0;
    declare continue handler for not found return s;
    loop fetch group next row; set s = s + x; end loop;
end//
create function versions_of(a int) returns int reads sql data return (select count(*) from versioned for system_time all where id = a)//
set sql_mode = 'ORACLE'//
create or replace package tools comment 'it''s a package' as
    function twice(a int) return int;
    procedure note(what varchar2(20));
end//
create or replace package body tools as
    counter int := 0;
    function twice(a int) return int as begin return a * 2; end;
    procedure note(what varchar2(20)) as begin counter := counter + 1; insert into audit (what, who) values (what, 'package'); end;
begin
    counter := 1;
end//
create procedure oracle_style(a in out int) as b int := 1; begin a := a + b; end//
set sql_mode = 'STRICT_TRANS_TABLES'//
delimiter ;

create view history as select id, t, row_start, row_end from versioned for system_time all;
