//! Privileges, as the difference from what an object is born with, and default privileges.

use serde::Deserialize;

use super::Error;
use super::object::{Body, Graph, Key, Kind, Object, Satellite, class};
use super::reader::Reader;

/// The privileges of one grantee by one grantor.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Item {
    /// Quoted; `PUBLIC` for everyone.
    grantee: String,
    grantor: String,
    plain: Vec<String>,
    /// With grant option.
    grantable: Vec<String>,
}

#[derive(Deserialize)]
struct Row {
    class: u32,
    oid: u32,
    /// `TABLE s.t`, as after GRANT … ON.
    target: String,
    tag: String,
    owner: String,
    owner_ident: String,
    /// Of a column: its quoted name.
    column: Option<String>,
    items: Vec<Item>,
    base: Vec<Item>,
    /// How many privileges there are for such an object.
    all: usize,
}

/// `acl` as JSON, one element for each grantee and grantor, in the order of the granting. aclexplode takes no empty
/// array.
fn items(acl: &str) -> String {
    format!(
        "(SELECT coalesce(json_agg(json_build_object('grantor', quote_ident(pg_get_userbyid(i.grantor)),
             'grantee', CASE i.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(i.grantee)) END,
             'plain', coalesce(i.plain, '{{}}'), 'grantable', coalesce(i.grantable, '{{}}')) ORDER BY i.first), '[]')
          FROM (SELECT e.grantor, e.grantee, min(e.nr) AS first,
                  array_agg(e.privilege_type ORDER BY e.nr) FILTER (WHERE NOT e.is_grantable) AS plain,
                  array_agg(e.privilege_type ORDER BY e.nr) FILTER (WHERE e.is_grantable) AS grantable
                FROM (SELECT {acl} AS acl) a
                CROSS JOIN LATERAL aclexplode(CASE array_ndims(a.acl) WHEN 1 THEN a.acl END) WITH ORDINALITY e(grantor, grantee, privilege_type, is_grantable, nr) GROUP BY 1, 2) i)"
    )
}

/// Every object that can have privileges, but only with what differs from the default or from what initdb or the
/// extension gave it. Objects of pg_catalog are included: their privileges can be changed too. As in pg_dump,
/// those of information_schema are not: initdb does not note what it gave them.
/// `public` counts as born with what every version from 15 on gives it, whatever this database began with.
const OBJECTS: &str = "
    SELECT 'pg_class'::regclass AS class, c.oid, 0 AS sub, format('%s %I.%I', k.word, n.nspname, c.relname) AS target,
           k.word || ' ' || c.relname AS tag,
           c.relowner AS owner, NULL AS column, c.relacl AS acl, acldefault(k.letter::\"char\", c.relowner) AS preset
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS word,
      CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END AS letter) k
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND (n.nspname = 'pg_catalog' OR {{user}})
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, a.attnum, format('TABLE %I.%I', n.nspname, c.relname),
           'COLUMN ' || c.relname || '.' || a.attname,
           c.relowner, quote_ident(a.attname), a.attacl, '{}'::aclitem[]
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (n.nspname = 'pg_catalog' OR {{user}}) AND NOT a.attisdropped
      AND (a.attacl IS NOT NULL OR EXISTS (SELECT FROM pg_init_privs ip WHERE ip.classoid = 'pg_class'::regclass
        AND ip.objoid = c.oid AND ip.objsubid = a.attnum))
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, 0, format('%s %I.%I(%s)', k.word, n.nspname, p.proname, k.arguments),
           format('%s %s(%s)', k.word, p.proname, k.arguments),
           p.proowner, NULL, p.proacl, acldefault('f', p.proowner)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL (SELECT {{11 ? CASE p.prokind WHEN 'p' THEN 'PROCEDURE'
      ELSE 'FUNCTION' END : 'FUNCTION'}} AS word,
      (SELECT string_agg(format_type(t, NULL), ', ' ORDER BY i) FROM unnest(p.proargtypes) WITH ORDINALITY x(t,
        i)) AS arguments) k
    WHERE (n.nspname = 'pg_catalog' OR {{user}})
      AND (p.proacl IS NOT NULL OR EXISTS (SELECT FROM pg_init_privs ip WHERE ip.classoid = 'pg_proc'::regclass
        AND ip.objoid = p.oid))
    UNION ALL
    SELECT 'pg_namespace'::regclass, n.oid, 0, format('SCHEMA %I', n.nspname), 'SCHEMA ' || n.nspname, n.nspowner, NULL,
           n.nspacl, acldefault('n', n.nspowner)
    FROM pg_namespace n WHERE (n.nspname = 'pg_catalog' OR {{user}})
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, 0, format('TYPE %I.%I', n.nspname, t.typname), 'TYPE ' || t.typname, t.typowner,
           NULL, t.typacl, acldefault('T', t.typowner)
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE (n.nspname = 'pg_catalog' OR {{user}}) AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
      AND (t.typrelid = 0 OR (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c')
    UNION ALL
    SELECT 'pg_language'::regclass, l.oid, 0, format('LANGUAGE %I', l.lanname), 'LANGUAGE ' || l.lanname, l.lanowner,
           NULL, l.lanacl, acldefault('l', l.lanowner)
    FROM pg_language l WHERE l.lanpltrusted
    UNION ALL
    SELECT 'pg_foreign_data_wrapper'::regclass, f.oid, 0, format('FOREIGN DATA WRAPPER %I', f.fdwname),
           'FOREIGN DATA WRAPPER ' || f.fdwname, f.fdwowner, NULL, f.fdwacl, acldefault('F', f.fdwowner)
    FROM pg_foreign_data_wrapper f
    UNION ALL
    SELECT 'pg_foreign_server'::regclass, s.oid, 0, format('FOREIGN SERVER %I', s.srvname),
           'FOREIGN SERVER ' || s.srvname, s.srvowner, NULL, s.srvacl, acldefault('S', s.srvowner)
    FROM pg_foreign_server s
    UNION ALL
    SELECT 'pg_database'::regclass, d.oid, 0, format('DATABASE %I', d.datname), 'DATABASE ' || d.datname, d.datdba,
           NULL, d.datacl, acldefault('d', d.datdba)
    FROM pg_database d WHERE d.datname = current_database()";

/// An entry of a schema's own default privileges adds to the global ones, which replace the server's.
const DEFAULTS: &str = "
    SELECT d.oid, n.nspname AS namespace, pg_get_userbyid(d.defaclrole) AS owner, k.word,
           concat('ALTER DEFAULT PRIVILEGES FOR ROLE ', quote_ident(pg_get_userbyid(d.defaclrole)),
             ' IN SCHEMA ' || quote_ident(n.nspname)) AS alter,
           d.defaclacl AS acl, CASE WHEN d.defaclnamespace = 0 THEN acldefault(k.letter::\"char\",
             d.defaclrole) ELSE '{}' END AS preset,
           d.defaclrole AS role, k.letter
    FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    CROSS JOIN LATERAL (SELECT CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f'
      THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES'
        WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END AS word,
      CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END AS letter) k";

#[derive(Deserialize)]
struct Default {
    oid: u32,
    namespace: Option<String>,
    owner: String,
    owner_ident: String,
    word: String,
    alter: String,
    items: Vec<Item>,
    base: Vec<Item>,
    all: usize,
}

/// Privileges of a column; there is no default to count them in.
const COLUMN_PRIVILEGES: usize = 4;

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<(), Error> {
    let sql = format!(
        "SELECT o.class::oid::int8 AS class, o.oid::int8 AS oid, o.target, o.tag, pg_get_userbyid(o.owner) AS owner,
                quote_ident(pg_get_userbyid(o.owner)) AS owner_ident, o.column, {items} AS items, {base} AS base,
                CASE WHEN o.column IS NULL
                  THEN (SELECT count(*) FROM aclexplode(o.preset) e WHERE e.grantee = o.owner) ELSE {COLUMN_PRIVILEGES} END AS all
         FROM ({OBJECTS}) o
         LEFT JOIN pg_init_privs ip ON ip.classoid = o.class AND ip.objoid = o.oid AND ip.objsubid = o.sub
           AND o.target <> 'SCHEMA public'
         WHERE o.acl IS NOT NULL OR ip.initprivs IS NOT NULL",
        items = items("coalesce(o.acl, o.preset)"),
        base = items(
            "CASE WHEN o.target = 'SCHEMA public' THEN o.preset || makeaclitem(0, o.owner, 'USAGE', false)
             ELSE coalesce(ip.initprivs, o.preset) END"
        ),
    );
    for row in reader.select::<Row>("privileges", &sql).await? {
        let column = row.column.as_deref().map(|column| format!(" ({column})")).unwrap_or_default();
        let on = Target { prefix: "", on: &row.target, column: &column, owner: &row.owner_ident, all: row.all };
        let create = on.commands(&row.items, &row.base);
        if create.is_empty() {
            continue;
        }
        // What comes with an extension belongs to the extension's entry, what every database has to none.
        let object = graph.find(Key::new(row.class, row.oid));
        graph.add_satellite(object, Satellite { desc: "ACL", tag: row.tag, owner: row.owner, create });
    }
    defaults(reader, graph).await
}

async fn defaults(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<(), Error> {
    let sql = format!(
        "SELECT o.oid::int8 AS oid, o.namespace, o.owner, quote_ident(o.owner) AS owner_ident, o.word, o.alter,
                {items} AS items, {base} AS base,
                (SELECT count(*) FROM aclexplode(acldefault(o.letter::\"char\", o.role)) e WHERE e.grantee = o.role) AS all
         FROM ({DEFAULTS}) o",
        items = items("o.acl"),
        base = items("o.preset"),
    );
    for row in reader.select::<Default>("default privileges", &sql).await? {
        let prefix = format!("{} ", row.alter);
        let on = Target { prefix: &prefix, on: &row.word, column: "", owner: &row.owner_ident, all: row.all };
        let mut object = Object::new(Kind::DefaultAcl, "DEFAULT ACL", format!("DEFAULT PRIVILEGES FOR {}", row.word));
        object.namespace = row.namespace.unwrap_or_default();
        object.body = Body::Text(on.commands(&row.items, &row.base));
        object.owner = row.owner;
        graph.add(Key::new(class::DEFAULT_ACL, row.oid), object);
    }
    Ok(())
}

/// What GRANT and REVOKE say about one object.
struct Target<'a> {
    /// `ALTER DEFAULT PRIVILEGES … `, or nothing.
    prefix: &'a str,
    on: &'a str,
    /// ` (c)`, or nothing.
    column: &'a str,
    owner: &'a str,
    all: usize,
}

impl Target<'_> {
    /// From `base` to `items`: what is there too much goes first. The order of granting is kept, since a grant may rest
    /// on the grant option of one before; only the owner's own come first of all.
    fn commands(&self, items: &[Item], base: &[Item]) -> String {
        let mut commands = Vec::new();
        for item in base.iter().filter(|item| !items.contains(item)) {
            let privileges: Vec<String> = item.plain.iter().chain(&item.grantable).cloned().collect();
            commands.push(format!(
                "{}REVOKE {} ON {} FROM {};",
                self.prefix,
                self.privileges(&privileges),
                self.on,
                item.grantee
            ));
        }
        let granted = items.iter().filter(|item| !base.contains(item));
        let (of_owner, of_others): (Vec<_>, Vec<_>) =
            granted.partition(|item| item.grantee == self.owner && item.grantor == self.owner);
        for item in of_owner.into_iter().chain(of_others) {
            for (privileges, option) in [(&item.plain, ""), (&item.grantable, " WITH GRANT OPTION")] {
                if privileges.is_empty() {
                    continue;
                }
                let grant = format!(
                    "{}GRANT {} ON {} TO {}{option};",
                    self.prefix,
                    self.privileges(privileges),
                    self.on,
                    item.grantee
                );
                commands.push(if item.grantor == self.owner {
                    grant
                } else {
                    format!("SET SESSION AUTHORIZATION {};\n{grant}\nRESET SESSION AUTHORIZATION;", item.grantor)
                });
            }
        }
        commands.join("\n")
    }

    /// `ALL` where it is all, so that a later version's new privileges are included.
    fn privileges(&self, privileges: &[String]) -> String {
        if privileges.len() == self.all {
            return format!("ALL{}", self.column);
        }
        privileges.iter().map(|privilege| format!("{privilege}{}", self.column)).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(grantee: &str, grantor: &str, plain: &[&str], grantable: &[&str]) -> Item {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Item { grantee: grantee.into(), grantor: grantor.into(), plain: own(plain), grantable: own(grantable) }
    }

    #[test]
    fn only_the_difference_is_said() {
        let on = Target { prefix: "", on: "TABLE s.t", column: "", owner: "o", all: 2 };
        let born = [item("o", "o", &["SELECT", "INSERT"], &[])];
        assert_eq!(on.commands(&born, &born), "");
        let now = [
            item("a", "o", &["SELECT", "INSERT"], &[]),
            item("o", "o", &["SELECT"], &[]),
            item("b", "a", &[], &["SELECT"]),
        ];
        assert_eq!(
            on.commands(&now, &born),
            "REVOKE ALL ON TABLE s.t FROM o;\nGRANT SELECT ON TABLE s.t TO o;\nGRANT ALL ON TABLE s.t TO a;\n\
             SET SESSION AUTHORIZATION a;\nGRANT SELECT ON TABLE s.t TO b WITH GRANT OPTION;\nRESET SESSION AUTHORIZATION;"
        );
    }

    #[test]
    fn a_column_is_named_with_every_privilege() {
        let on = Target { prefix: "", on: "TABLE s.t", column: " (c)", owner: "o", all: COLUMN_PRIVILEGES };
        assert_eq!(
            on.commands(&[item("PUBLIC", "o", &["SELECT", "UPDATE"], &[])], &[]),
            "GRANT SELECT (c), UPDATE (c) ON TABLE s.t TO PUBLIC;"
        );
    }
}
