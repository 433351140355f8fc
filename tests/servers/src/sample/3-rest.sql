-- The sample database, part 3: what stands on the rows. Keys, indexes, views, triggers.

set timezone = 'UTC';

alter table shop.order_item add constraint order_item_pkey primary key (order_id, placed_at, line);
alter table shop.order_item
    add constraint order_item_order foreign key (order_id, placed_at) references shop.orders on update cascade on delete cascade;
alter table shop.order_item add constraint order_item_product foreign key (sku) references shop.product (sku) not valid;
comment on constraint order_item_order on shop.order_item is 'To a partitioned table';
alter table shop.orders add constraint orders_customer foreign key (customer) references shop.customer (id);
alter table shop.review add foreign key (customer) references shop.customer on delete restrict;
alter table shop.review add constraint one_review unique (sku, customer, id) include (stars) deferrable initially deferred;
alter table awkward.hen add constraint hen_egg foreign key (egg) references awkward.egg match full deferrable initially deferred;

create index customer_vip on shop.customer (created_at desc nulls last) where vip;
create unique index customer_email_folded on shop.customer (lower(email));
create index customer_slug on shop.customer (shop.slug(name), ((address).zip) collate "C" bpchar_pattern_ops);
create index customer_preferences on shop.customer using gin (preferences jsonb_path_ops);
create index customer_tags on shop.customer using gin (tags) with (fastupdate = off);
comment on index shop.customer_vip is 'Partial: few are';
create index product_offered on shop.product using gist (offered);
create index product_search on shop.product using gin (search);
create index product_name_hash on shop.product using hash (name);
create index orders_customer on shop.orders (customer) include (status);
create index orders_placed_brin on shop.orders using brin (placed_at) with (pages_per_range = 32);
create index event_path on audit.event ((payload ->> 'path'), happened_at);
create index "Index mit ""Zitat""" on "Kleiner Laden"."Bestellung ""süß"" & salzig" ("日本語", ("Stück.zahl" + 1)) where "Größe" <> 'S';
alter table shop.customer cluster on customer_pkey;
alter table shop.product replica identity full;

create view shop.customer_orders as
    select c.id, c.name, count(o.id) as orders, sum(o.total) as spent, max(o.placed_at) as latest
    from shop.customer as c left join shop.orders as o on o.customer = c.id
    group by c.id, c.name;
comment on view shop.customer_orders is 'One line a customer';
comment on column shop.customer_orders.spent is 'NULL for who has only looked';
create view shop.good_customer as select id, name, spent from shop.customer_orders where spent > 10000;
create view shop.cheap_product with (security_barrier = true) as select sku, name, net from shop.product where net < 10 with local check option;
create recursive view shop.category_path (id, path) as
    select id, name from shop.category where parent is null
    union all
    select c.id, p.path || ' / ' || c.name from shop.category as c join category_path as p on p.id = c.parent;
create view "Kleiner Laden"."Übersicht" ("Größe", "Anzahl") as
    select "Größe", count(*) from "Kleiner Laden"."Bestellung ""süß"" & salzig" group by 1;

create materialized view shop.sales_by_month as
    select date_trunc('month', placed_at at time zone 'UTC')::date as month, status, count(*) as orders, sum(total) as total
    from shop.orders group by 1, 2 order by 1, 2;
create unique index sales_by_month_key on shop.sales_by_month (month, status);
comment on materialized view shop.sales_by_month is 'Refreshed at night';
create materialized view shop.best_month as select month, sum(total) as total from shop.sales_by_month group by month order by total desc limit 1;
create materialized view audit.not_yet as select kind, count(*) from audit.event group by kind with no data;

create function shop.spent_by(who bigint) returns numeric language sql stable
    begin atomic
        select spent from shop.customer_orders where id = who;
    end;

create trigger customer_changed after insert or update of name, email or delete on shop.customer
    for each row execute function audit.note_change();
create trigger product_became_dear before update on shop.product
    for each row when (old.net is distinct from new.net and new.net > 1000) execute function audit.note_change();
create trigger product_counted after update on shop.product
    referencing new table as touched for each statement execute function audit.count_statement();
create constraint trigger hen_checked after insert on awkward.hen
    deferrable initially deferred for each row execute function audit.note_change();
create trigger order_placed after insert on shop.orders for each row execute function audit.note_change();
create trigger cheap_product_insert instead of insert on shop.cheap_product for each row execute function audit.note_change();
alter table shop.product disable trigger product_counted;
comment on trigger customer_changed on shop.customer is 'Who was renamed, and from what';

update shop.customer set name = name || ' (renamed)' where id % 97 = 0;
analyze;
