-- The sample database, part 2: rows, :size times about a megabyte of them. The same size gives the same rows on every
-- version: nothing random, no clock, no locale, no time zone but UTC.

set timezone = 'UTC';
set datestyle = 'ISO, YMD';
set intervalstyle = 'postgres';

-- Numbers that look random: a multiplicative hash. pg_temp leaves no trace in a dump.
create function pg_temp.pick(i bigint, salt integer, bound integer) returns integer language sql immutable
    return (((i * 2654435761 + salt * 40503) % 4294967296) >> 7) % bound;

create temporary table words as
select string_to_array('the quick brown fox jumps over a lazy dog while seven wizards mix black quartz jugs for Jürgen and Zoë in Łódź '
    || 'where every café sells crème brûlée naïve façade smörgåsbord über straße 日本 東京 привет мир ελλάδα waited weathered '
    || 'returned arrived broken perfect cheap expensive wonderful awful colour size fits small large again never always box', ' ') as w;

create temporary table sentences as
select array_agg(sentence order by n) as s
from (
    select n, string_agg(w[1 + pg_temp.pick(n * 31 + k, 7, cardinality(w))], ' ' order by k) as sentence
    from words, generate_series(1, 400) as n, generate_series(1, 6 + pg_temp.pick(n, 3, 9)) as k
    group by n
) as made;

insert into shop.category (id, parent, name)
select n, case when n > 8 then 1 + pg_temp.pick(n, 1, 8) end, 'Category ' || n from generate_series(1, 60) as n;
select setval(pg_get_serial_sequence('shop.category', 'id'), 60);

insert into shop.customer (name, email, address, earlier_addresses, tags, preferences, born, created_at, discount, vip)
select
    initcap(w[1 + pg_temp.pick(n, 1, 40)]) || ' ' || initcap(w[1 + pg_temp.pick(n, 2, 40)]) || case when n % 17 = 0 then E'\t"Jr."' else '' end,
    case when n % 11 <> 0 then 'customer' || n || '@example.' || case when n % 2 = 0 then 'com' else 'org' end end,
    case when n % 7 <> 0 then row('Straße ' || pg_temp.pick(n, 3, 500), (1 + pg_temp.pick(n, 4, 99))::text || case when n % 5 = 0 then 'a, 2. "OG"' else '' end,
        lpad(pg_temp.pick(n, 5, 99999)::text, 5, '0'), 'Łódź', row(50 + pg_temp.pick(n, 6, 1000) / 1000.0, 19.25)::shop.geo)::shop.address end,
    case when n % 13 = 0 then array[row('Old (road), 1\2', null, '00000', '', null)::shop.address, null] else '{}' end,
    case n % 4 when 0 then '{}' when 1 then array['new'] when 2 then array['a,b', 'c "d"', 'e\f', ''] else array['NULL', null] end,
    jsonb_build_object('mail', n % 3 = 0, 'theme', case n % 5 when 0 then 'dark' else 'light' end, 'seen', jsonb_build_array(n, n * 1.5, null)),
    case when n % 9 <> 0 then date '1940-01-01' + pg_temp.pick(n, 8, 23000) end,
    timestamptz '2022-01-01 00:00:00+00' + make_interval(mins => pg_temp.pick(n, 9, 1000000)),
    case when n % 6 = 0 then pg_temp.pick(n, 10, 10001) / 100.0 end,
    n % 50 = 0
from words, generate_series(1, 150 * :size) as n;

insert into shop.product (sku, category, name, net, weight, dimensions, attributes, search, offered, usual, picture, updated_at)
select
    'SKU-' || lpad(n::text, 7, '0'),
    1 + pg_temp.pick(n, 1, 60),
    s[1 + pg_temp.pick(n, 2, 400)],
    pg_temp.pick(n, 3, 100000) / 100.0,
    case n % 10 when 0 then 'NaN' when 1 then null else pg_temp.pick(n, 4, 10000) / 7.0 end,
    array[pg_temp.pick(n, 5, 300) / 10.0, pg_temp.pick(n, 6, 300) / 10.0, pg_temp.pick(n, 7, 300) / 10.0],
    jsonb_build_object('colour', 'c' || n % 12, 'sizes', jsonb_build_array('S', 'M', 'L'), 'nested', jsonb_build_object('depth', 2, 'text', s[1 + n % 400])),
    to_tsvector('simple', s[1 + pg_temp.pick(n, 2, 400)]),
    daterange(date '2023-01-01' + pg_temp.pick(n, 8, 300), case when n % 3 <> 0 then date '2024-01-01' + pg_temp.pick(n, 9, 300) end),
    shop.price_range(pg_temp.pick(n, 3, 50000) / 100.0, pg_temp.pick(n, 3, 50000) / 100.0 + 10, '[]'),
    -- A picture does not compress; the text around it does.
    case when n % 3 = 0 then (select string_agg(sha512(convert_to(n || '/' || k, 'UTF8')), '' order by k) from generate_series(1, 160) as k) end,
    timestamp '2024-01-01 00:00:00' + make_interval(secs => pg_temp.pick(n, 10, 30000000) + 0.125)
from sentences, generate_series(1, 40 * :size) as n;

insert into shop.orders (id, placed_at, customer, status, deliver_to, note, total, window_of_delivery)
select
    100000 + n,
    placed_at,
    1000 + pg_temp.pick(n, 1, 150 * :size),
    (enum_range(null::shop.order_status))[1 + pg_temp.pick(n, 2, 7)],
    case when n % 20 = 0 then row('Elsewhere', '1', '12345', 'Köln', null)::shop.address end,
    case n % 25 when 0 then E'ring twice\nthen wait' when 1 then '' when 2 then E'tab\there, back\\slash' else null end,
    pg_temp.pick(n, 3, 1000000) / 100.0,
    case when n % 2 = 0 then tstzrange(placed_at + interval '1 day', placed_at + interval '1 day 2 hours') end
from (select n, timestamptz '2022-11-01 00:00:00+00' + make_interval(secs => (n::bigint * 7919) % 73000000) as placed_at from generate_series(1, 700 * :size) as n) as t;
select setval('shop.order_number', 100000 + 700 * :size);

insert into shop.order_item (order_id, placed_at, line, sku, quantity, net)
select o.id, o.placed_at, line, 'SKU-' || lpad((1 + pg_temp.pick(o.id * 5 + line, 1, 40 * :size))::text, 7, '0'), 1 + pg_temp.pick(o.id + line, 2, 5), pg_temp.pick(o.id + line, 3, 100000) / 100.0
from shop.orders as o, generate_series(1, 1 + pg_temp.pick(o.id, 4, 9)) as line
order by o.id, line;

insert into shop.review (id, sku, customer, stars, body, written_at)
select
    md5('review ' || n)::uuid,
    'SKU-' || lpad((1 + pg_temp.pick(n, 1, 40 * :size))::text, 7, '0'),
    1000 + pg_temp.pick(n, 2, 150 * :size),
    1 + pg_temp.pick(n, 3, 5),
    s[1 + pg_temp.pick(n, 4, 400)] || '. ' || s[1 + pg_temp.pick(n, 5, 400)] || case when n % 4 = 0 then E'!\n\n' else '; ' end || s[1 + pg_temp.pick(n, 6, 400)]
        || repeat(' ' || s[1 + pg_temp.pick(n, 7, 400)], pg_temp.pick(n, 8, 6)),
    timestamptz '2023-06-01 00:00:00+00' + make_interval(secs => (n::bigint * 104729) % 45000000)
from sentences, generate_series(1, 450 * :size) as n;

insert into audit.event (id, kind, source, happened_at, took, payload)
select
    n,
    case when n % 10 < 7 then 'page' when n % 10 = 7 then 'login' when n % 10 = 8 then 'logout' else 'other ' || n % 3 end,
    case when n % 8 <> 0 then inet '10.0.0.0' + pg_temp.pick(n, 1, 60000) end,
    timestamptz '2024-01-01 00:00:00+00' + make_interval(secs => n * 3.25),
    case when n % 3 = 0 then make_interval(secs => pg_temp.pick(n, 2, 100000) / 1000.0) end,
    jsonb_build_object('path', '/p/' || pg_temp.pick(n, 3, 5000), 'agent', s[1 + pg_temp.pick(n, 4, 40)], 'status', 200 + pg_temp.pick(n, 5, 5) * 100,
        'query', jsonb_build_object('q', s[1 + pg_temp.pick(n, 6, 400)], 'page', n % 30))
from sentences, generate_series(1, 1300 * :size) as n;
select setval('audit.event_id_seq', 1300 * :size);

insert into "Kleiner Laden"."Bestellung ""süß"" & salzig" ("Größe", "Stück.zahl", "日本語", " führendes Leerzeichen", "UPPER")
select (enum_range(null::"Kleiner Laden"."Größe"))[1 + n % 5], n * 2, 'テスト ' || n, n % 3 = 0, case when n % 2 = 0 then array['ganz groß', null]::"Kleiner Laden"."Größe"[] end
from generate_series(1, 200) as n;

insert into awkward.no_columns select from generate_series(1, 3);
insert into awkward.hen values (1, 1), (2, null);
insert into awkward.egg values (1, 2), (2, 1);
select nextval('awkward.countdown'), nextval('awkward.countdown');

insert into awkward.value (id, what) values (1, 'nothing but NULL');
insert into awkward.value (id, what, t, v, c, raw, ints, texts, j, jb, whole, many, lexemes, bits_any)
values (2, 'empty', '', '', '', '', '{}', '{}', '{}', '[]', 'empty', '{}', '', '');
insert into awkward.value (id, what, t) values
    (3, 'tab', E'\t'), (4, 'newline', E'\n'), (5, 'carriage return', E'\r'), (6, 'both', E'a\r\nb\n'), (7, 'backslash', '\'),
    (8, 'looks like NULL', '\N'), (9, 'looks like the end of data', '\.'), (10, 'the end of data on a line of its own', E'a\n\\.\nb'),
    (11, 'escapes spelt out', '\t\n\r\b\f\v\x41\101\\'), (12, 'control characters', E'\x01\x02\x07\b\f\x0b\x1b\x7f'), (13, 'quotes', '''"`$$ $1 %s :name {}'),
    (14, 'spaces at both ends', '  x  '), (15, 'the word', 'NULL'), (16, 'outside the first plane', '🦀 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 👩‍👩‍👧'), (17, 'combining and right to left', E'e\u0301 ≠ é; שלום مرحبا \u200F'),
    (18, 'long', repeat('0123456789abcdef', 65536)), (19, 'long and not compressible', (select string_agg(md5(k::text), '' order by k) from generate_series(1, 40000) as k));
insert into awkward.value (id, what, n, n_scaled, r, d) values
    (30, 'not a number', 'NaN', 'NaN', 'NaN', 'NaN'), (31, 'infinite', 'Infinity', null, 'Infinity', 'Infinity'), (32, 'the other way', '-Infinity', null, '-Infinity', '-Infinity'),
    (33, 'zeroes', '0.000', 0, '-0', '-0'), (34, 'large', 9.99e300, 9999999999.9999999999, 3.4028235e38, 1.7976931348623157e308), (35, 'small', 1e-300, 0.0000000001, 1.4e-45, 5e-324),
    (36, 'needs every digit', 0.1::numeric + 0.2, 1.0 / 3, 0.1::real + 0.2::real, 0.1::float8 + 0.2::float8), (37, 'many digits', repeat('1234567890', 40)::numeric + 0.000000000000000000000000000000000001, null, 16777217, 9007199254740993);
insert into awkward.value (id, what, s, i, l, object) values (40, 'largest', 32767, 2147483647, 9223372036854775807, 4294967295), (41, 'smallest', -32768, -2147483648, -9223372036854775808, 0);
insert into awkward.value (id, what, b, one) values (50, 'true', true, 'x'), (51, 'false', false, ''), (52, 'a byte above ASCII', null, E'\\377'::"char");
insert into awkward.value (id, what, raw) select 60, 'every byte', string_agg(set_byte('\x00', 0, k), '' order by k) from generate_series(0, 255) as k;
insert into awkward.value (id, what, j, jb) values
    (70, 'as it was written', E'{"a" : 1,\n "a":2, "\\u0041": "\\\\ \\" \\/"}', '{"b": 1, "a": 2, "a": 3}'), (71, 'null inside', 'null', 'null'), (72, 'numbers', '[1.0, 1e2, -0]', '[1.0, 1e2, -0, 12345678901234567890.123]'), (73, 'a tab in a string', '"\t"', '"\t\\\"\u00e9🦀"');
insert into awkward.value (id, what, day, clock, clock_tz, stamp, stamp_tz, span) values
    (80, 'never', 'infinity', null, null, 'infinity', 'infinity', null), (81, 'always', '-infinity', null, null, '-infinity', '-infinity', null),
    (82, 'before Christ', '4713-01-01 BC', '00:00', '00:00+15:59', '4713-01-01 00:00:00 BC', '0044-03-15 12:00:00+00 BC', '-178000000 years'),
    (83, 'far ahead', '5874897-12-31', '24:00', '24:00-15:59', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', '178000000 years 11 mons 30 days 23:59:59.999999'),
    (84, 'microseconds', '2024-02-29', '12:34:56.789012', '12:34:56.789012+05:30', '2024-02-29 23:59:59.999999', '1970-01-01 00:00:00.000001+00', '1 mon -1 days +00:00:00.000001');
insert into awkward.value (id, what, id128, address, net, mac, bits, bits_any, spot, area, lsn, class) values
    (90, 'addresses and shapes', '00000000-0000-0000-0000-000000000000', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', B'10101010', B'101', '(1.5,-Infinity)', '((0,0),(0,1),(1,1))', '16/B374D848', '"Kleiner Laden"."Bestellung ""süß"" & salzig"');
insert into awkward.value (id, what, ints, texts, grid, pair) values
    (100, 'arrays', '{1,NULL,-3}', array['', null, 'NULL', 'a"b', 'c\d', '{e,f}', E'tab\tnewline\n', ' x '], '{{1,2},{3,4}}', row(1e-7, null)),
    (101, 'bounds of their own', '[-1:1]={1,2,3}', '[0:0]={x}', '[2:3][5:6]={{1,2},{3,4}}', row(null, null)), (102, 'composite text', null, array['(a,"b ""c"" \\",)'], null, row('NaN', '-Infinity'));
insert into awkward.value (id, what, whole, many, moments, lexemes, query) values
    (110, 'ranges', '[1,10)', '{[1.5,2.5),(3,)}', '["2024-01-01 00:00:00+00",infinity)', $$'a''b':1A 'c\\d':2,3B$$, $$'a''b' & !c:* | (d <-> e)$$), (111, 'unbounded', '(,)', '{(,)}', '(,"2024-01-01 00:00:00+00"]', null, null);
