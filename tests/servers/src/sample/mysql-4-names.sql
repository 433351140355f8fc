-- Names that need care in SQL, in shells and in file names. Apart, because stock mydumper 0.10 does not quote all of them.

set names utf8mb4;
set sql_mode = 'STRICT_TRANS_TABLES';

create table `select` (`from` int not null primary key, `where` varchar(10), `it's` int, `back``tick` int, `"double"` int, `semi;colon` int, ` leading` int, `per%cent_` int, key `or` (`where`));
insert into `select` values (1, 'a', 2, 3, 4, 5, 6, 7);
create table `with.dot` (id int not null primary key);
insert into `with.dot` values (1);
create table `with` (`dot` int);
create table `back``tick` (id int not null primary key, constraint `back``tick's` foreign key (id) references `with.dot` (id));
insert into `back``tick` values (1);
create table `slash/back\slash` (`a\b` int not null primary key, `new
line` int);
insert into `slash/back\slash` values (1, 2);
create table `Größe 日本` (`Länge` int not null primary key comment 'ä', `ширина` varchar(10));
insert into `Größe 日本` values (1, 'ж');
create table `per%cent*star?` (id int not null primary key);
insert into `per%cent*star?` values (1);
create table `a-schema` (id int not null primary key) comment = 'named like one of mydumper''s files';
insert into `a-schema` values (1);
create table `a.00001` (id int not null primary key);
insert into `a.00001` values (1);
create table `-dash $dollar #hash -- comment /* */` (id int not null primary key);
insert into `-dash $dollar #hash -- comment /* */` values (1);
create table `123` (`456` int not null primary key);
insert into `123` values (1);
create table `Case` (id int not null primary key);
create table `case` (id int not null primary key, t varchar(4));
insert into `case` values (1, 'x');
create table `sixty_four_characters_are_as_many_as_a_name_can_have_34567890123` (id int not null primary key);
insert into `sixty_four_characters_are_as_many_as_a_name_can_have_34567890123` values (1);
create view `view's "name"` as select `from`, `back``tick` as `a``b` from `select`;

delimiter //
create trigger `trig``ger's` before insert on `select` for each row set new.`it's` = 1//
create procedure `pro``cedure "x"`(`in``put` int) select `in``put`//
create event `ev``ent's` on schedule every 1 year disable do select 1//
delimiter ;
