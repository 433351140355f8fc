insert into customer (id, name, email, born, gender, interests, discount, vip, created_at)
select 2000 + @step * 200 + n, concat('Customer ', n, ' O''Łódź'), if(n % 11 = 0, null, concat('c', @step, '.', n, '@example.org')),
    '1940-01-01' + interval (n * 97 + @step) day, elt(1 + n % 5, 'f', 'm', 'x', 'it''s odd', null), n % 32, if(n % 6 = 0, n / 10, null), n % 4 = 0,
    '2022-01-01' + interval (n * 7 + @step) minute
from number where n < 200 order by n;
insert into orders (id, customer, status, placed, note)
select 1 + @step * 1000 + n, 2000 + @step * 200 + n % 200, 1 + n % 4, '2023-01-01' + interval (@step * 1000 + n) minute, if(n % 9 = 0, 'ring\ttwice\r\nplease', null)
from number where n < 1000 order by n;
insert into item (order_id, line, sku, amount, price)
select 1 + @step * 1000 + n % 1000, 1 + n div 1000, unhex(lpad(hex(n % 500), 16, '0')), 1 + n % 7, n * 0.0101
from number where n < 2000 order by n;
insert into event_log (happened, kind, session, ratio, total, amount, agent, payload, message)
select '2024-01-01' + interval (@step * 2048 + n) second, 1 + n % 4, lpad(hex((n + 2048 * @step) * 2654435761), 32, '0123456789abcdef'), (n * 7919 + @step) / 1048573e0,
    if(n % 8 = 0, null, (n * 104729 + @step) / 1299709e0), n * 3.1415 + @step, if(n % 3 = 0, null, concat('Mozilla/5.0 (X11; "Linux") ', n % 50)),
    unhex(concat(lpad(hex((n + 7) * 2654435761 + @step), 64, '5c27220a00ff1a'), lpad(hex(n * 40503 + @step), 16, '0'))), concat('Message ', n, ' of ', @step, ': it''s ', if(n % 2, 'naïve façade 日本', 'a\\b\n"c"'), repeat(' and so on', n % 20))
from number order by n;
