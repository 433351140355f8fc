//! Restore order: the edges of the graph, the repair of its loops, and pg_dump's sort.

use std::collections::{BTreeSet, BinaryHeap, HashMap};

use crate::entry::Section;

use super::object::{Graph, Id, Key, Kind};

pub(super) struct Order {
    /// Objects that get an entry, in restore order.
    pub ids: Vec<Id>,
    /// What each object of the graph needs, those of its parts included.
    pub needs: Vec<BTreeSet<Id>>,
}

pub(super) fn order(graph: &mut Graph) -> Order {
    let mut needs = edges(graph);
    order_refreshes(graph, &mut needs);
    while let Some(cycle) = find_cycle(&needs) {
        repair(graph, &mut needs, &cycle);
    }
    postpone(graph, &mut needs);
    // What is still a part disappears into its whole.
    for id in 0..graph.objects.len() {
        let whole = root(graph, id);
        if whole != id {
            let of_part = std::mem::take(set(&mut needs, id));
            set(&mut needs, whole).extend(of_part);
        }
    }
    for (id, set) in needs.iter_mut().enumerate() {
        *set = set.iter().map(|needed| root(graph, *needed)).filter(|needed| *needed != id).collect();
    }
    let ids = sort(graph, &needs);
    Order { ids, needs }
}

/// `needs` has one set for every object; the fallback only spares a panic.
fn set(needs: &mut Vec<BTreeSet<Id>>, id: Id) -> &mut BTreeSet<Id> {
    if needs.len() <= id {
        needs.resize_with(id + 1, BTreeSet::new);
    }
    // The resize above makes the index valid.
    #[allow(clippy::indexing_slicing)]
    &mut needs[id]
}

fn root(graph: &Graph, id: Id) -> Id {
    graph.objects.get(id).and_then(|object| object.part_of.as_ref()).map_or(id, |(whole, _)| *whole)
}

fn edges(graph: &Graph) -> Vec<BTreeSet<Id>> {
    let mut needs: Vec<BTreeSet<Id>> = graph.objects.iter().map(|object| object.needs.clone()).collect();
    for (key, targets) in &graph.depends {
        let Some(from) = graph.find(*key) else { continue };
        for target in targets {
            let Some(to) = graph.find(*target).map(|to| root(graph, to)) else { continue };
            let to = shell_for(graph, *key, from, to).unwrap_or(to);
            if to != from && to != root(graph, from) {
                set(&mut needs, from).insert(to);
            }
        }
    }
    for (id, object) in graph.objects.iter().enumerate() {
        if let Some((whole, _)) = &object.part_of {
            set(&mut needs, *whole).insert(id);
        }
    }
    needs
}

/// A function and its type need each other: the function needs only the type's shell.
fn shell_for(graph: &Graph, key: Key, from: Id, to: Id) -> Option<Id> {
    let target = graph.objects.get(to)?.key?;
    let shell = graph.shells.get(&target)?;
    let mutual = graph.depends.get(&target)?.contains(&key);
    (mutual && from != to).then_some(*shell)
}

/// A materialized view is filled after those it reads from, directly or through views, and after its own indexes,
/// which pg_dump builds first too.
fn order_refreshes(graph: &Graph, needs: &mut Vec<BTreeSet<Id>>) {
    let mut refreshes: HashMap<Id, Id> = HashMap::new();
    for (id, object) in graph.objects.iter().enumerate() {
        if object.kind == Kind::Refresh {
            refreshes.extend(object.needs.iter().map(|view| (*view, id)));
        }
    }
    if refreshes.is_empty() {
        return;
    }
    let mut extra: Vec<(Id, Id)> = Vec::new();
    for (view, refresh) in &refreshes {
        let mut seen = BTreeSet::from([*view]);
        let mut stack = vec![*view];
        while let Some(id) = stack.pop() {
            for needed in needs.get(id).into_iter().flatten() {
                let relation = graph.objects.get(*needed).is_some_and(|o| o.kind == Kind::Table || o.part_of.is_some());
                if relation && seen.insert(*needed) {
                    match refreshes.get(needed) {
                        Some(other) => extra.push((*refresh, *other)),
                        None => stack.push(*needed),
                    }
                }
            }
        }
    }
    for (id, object) in graph.objects.iter().enumerate() {
        if object.kind == Kind::Index {
            for needed in needs.get(id).into_iter().flatten() {
                extra.extend(refreshes.get(needed).map(|refresh| (*refresh, id)));
            }
        }
    }
    for (from, to) in extra {
        set(needs, from).insert(to);
    }
}

/// Some loop, as the objects along it, or none. Iterative: the depth is the database's choice.
fn find_cycle(needs: &[BTreeSet<Id>]) -> Option<Vec<Id>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnPath,
        Done,
    }
    let mut marks = vec![Mark::New; needs.len()];
    for start in 0..needs.len() {
        let mut path: Vec<(Id, Vec<Id>)> = Vec::new();
        let mut next = Some(start);
        loop {
            if let Some(id) = next.take() {
                match marks.get_mut(id) {
                    Some(mark) if *mark == Mark::New => {
                        *mark = Mark::OnPath;
                        path.push((id, needs.get(id).into_iter().flatten().copied().collect()));
                    }
                    Some(Mark::OnPath) => {
                        return Some(
                            path.iter().map(|(on_path, _)| *on_path).skip_while(|on_path| *on_path != id).collect(),
                        );
                    }
                    _ => {}
                }
            }
            match path.last_mut() {
                None => break,
                Some((id, rest)) => match rest.pop() {
                    Some(needed) => next = Some(needed),
                    None => {
                        if let Some(mark) = marks.get_mut(*id) {
                            *mark = Mark::Done;
                        }
                        path.pop();
                    }
                },
            }
        }
    }
    None
}

/// Removes at least one edge of a loop: a check constraint or a view's query becomes an entry of its own. Loops
/// without such a part do not occur in a sane catalog; then the loop is cut anyhow and reported.
fn repair(graph: &mut Graph, needs: &mut Vec<BTreeSet<Id>>, cycle: &[Id]) {
    let part = |kind: Kind| {
        cycle.iter().copied().find(|id| {
            graph
                .objects
                .get(*id)
                .is_some_and(|o| o.kind == kind && o.part_of.as_ref().is_some_and(|(whole, _)| cycle.contains(whole)))
        })
    };
    if let Some(id) = part(Kind::Constraint).or_else(|| part(Kind::Rule)) {
        separate(graph, needs, id);
        return;
    }
    let names: Vec<String> = cycle
        .iter()
        .filter_map(|id| graph.objects.get(*id))
        .map(|object| format!("{} {}.{}", object.desc, object.namespace, object.tag))
        .collect();
    graph.report("dependency loop", names.join(" -> "));
    if let (Some(first), Some(second)) = (cycle.first(), cycle.get(1).or(cycle.first())) {
        set(needs, *first).remove(second);
    }
}

/// Makes a part an object of its own, restored after what it was a part of.
fn separate(graph: &mut Graph, needs: &mut Vec<BTreeSet<Id>>, id: Id) {
    if let Some((whole, _)) = graph.objects.get_mut(id).and_then(|object| object.part_of.take()) {
        set(needs, whole).remove(&id);
        set(needs, id).insert(whole);
    }
}

/// Whatever comes before the data but needs something of after the data moves there: a materialized view whose
/// query relies on a primary key, or the query of such a view.
fn postpone(graph: &mut Graph, needs: &mut Vec<BTreeSet<Id>>) {
    for id in depth_first(needs) {
        let after = |graph: &Graph, needed: &Id| {
            graph.objects.get(*needed).is_some_and(|o| o.part_of.is_none() && o.section() == Section::PostData)
        };
        let before = graph.objects.get(root(graph, id)).is_some_and(|o| o.section() != Section::PostData);
        if before && needs.get(id).into_iter().flatten().any(|needed| after(graph, needed)) {
            if root(graph, id) != id {
                separate(graph, needs, id);
            } else if let Some(object) = graph.objects.get_mut(id) {
                object.postponed = true;
            }
        }
    }
}

/// Every object after all it needs.
fn depth_first(needs: &[BTreeSet<Id>]) -> Vec<Id> {
    let mut done = Vec::with_capacity(needs.len());
    let mut seen = vec![false; needs.len()];
    for start in 0..needs.len() {
        let mut stack = vec![(start, false)];
        while let Some((id, left)) = stack.pop() {
            if left {
                done.push(id);
            } else if let Some(seen) = seen.get_mut(id).filter(|seen| !**seen) {
                *seen = true;
                stack.push((id, true));
                stack.extend(needs.get(id).into_iter().flatten().map(|needed| (*needed, false)));
            }
        }
    }
    done
}

/// Topological sort that departs as little as possible from the order by section, kind and name: as pg_dump's, it
/// fills the list from its end, so that an object moves forward only when something needs it.
fn sort(graph: &Graph, needs: &[BTreeSet<Id>]) -> Vec<Id> {
    let mut ranked: Vec<Id> =
        (0..graph.objects.len()).filter(|id| graph.objects.get(*id).is_some_and(|o| o.part_of.is_none())).collect();
    ranked.sort_by_cached_key(|id| {
        graph.objects.get(*id).map(|o| (o.section(), o.kind, o.namespace.clone(), o.tag.clone(), o.key, *id))
    });
    let rank: HashMap<Id, usize> = ranked.iter().enumerate().map(|(rank, id)| (*id, rank)).collect();
    let mut dependents: HashMap<Id, usize> = HashMap::new();
    for id in &ranked {
        for needed in needs.get(*id).into_iter().flatten() {
            *dependents.entry(*needed).or_default() += 1;
        }
    }
    let free = |id: &Id| dependents.get(id).is_none_or(|count| *count == 0);
    let mut heap: BinaryHeap<(usize, Id)> =
        ranked.iter().filter(|id| free(id)).filter_map(|id| rank.get(id).map(|rank| (*rank, *id))).collect();
    let mut sorted = Vec::with_capacity(ranked.len());
    while let Some((_, id)) = heap.pop() {
        sorted.push(id);
        for needed in needs.get(id).into_iter().flatten() {
            if let Some(count) = dependents.get_mut(needed) {
                *count -= 1;
                if *count == 0 {
                    heap.extend(rank.get(needed).map(|rank| (*rank, *needed)));
                }
            }
        }
    }
    sorted.reverse();
    sorted
}

/// Whether a view's query became an entry of its own.
pub(super) fn is_separate(graph: &Graph, part: Id) -> bool {
    graph.objects.get(part).is_none_or(|object| object.part_of.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::object::{Body, Object};

    fn graph(edges: &[(Id, Id)], objects: Vec<Object>) -> Graph {
        let mut graph = Graph::default();
        for object in objects {
            graph.add_extra(object);
        }
        for (from, to) in edges {
            graph.need(*from, *to);
        }
        graph
    }

    #[test]
    fn an_object_moves_forward_only_as_far_as_needed() {
        // A function that a table's default needs nothing of stays behind types; `b` needs `a`'s later neighbour.
        let mut graph = graph(
            &[(0, 1)],
            vec![
                Object::new(Kind::Table, "TABLE", "a"),
                Object::new(Kind::Table, "TABLE", "z"),
                Object::new(Kind::Table, "TABLE", "m"),
                Object::new(Kind::Schema, "SCHEMA", "s"),
            ],
        );
        let order = order(&mut graph);
        let tags: Vec<_> = order.ids.iter().map(|id| graph.objects[*id].tag.as_str()).collect();
        assert_eq!(tags, ["s", "z", "a", "m"]);
    }

    #[test]
    fn views_in_a_loop_get_a_stand_in() {
        let mut graph = Graph::default();
        let mut ids = Vec::new();
        for name in ["v", "w"] {
            let view = graph.add(Key::new(1259, 1), Object::new(Kind::Table, "VIEW", name));
            let mut rule = Object::new(Kind::Rule, "RULE", name);
            rule.part_of = Some((view, String::new()));
            let rule = graph.add_extra(rule);
            graph.objects[view].body = Body::View { query: rule, whole: "whole".into(), stand_in: "stand-in".into() };
            ids.push((view, rule));
        }
        graph.need(ids[0].1, ids[1].0);
        graph.need(ids[1].1, ids[0].0);
        let order = order(&mut graph);
        // One of the two is separate, and comes after the view that it reads.
        assert_eq!(order.ids.len(), 3);
        assert_eq!(graph.objects[order.ids[2]].kind, Kind::Rule);
        assert!(graph.unsupported.is_empty());
    }

    #[test]
    fn a_view_that_relies_on_a_primary_key_is_completed_after_it() {
        let mut graph = Graph::default();
        let view = graph.add_extra(Object::new(Kind::Table, "VIEW", "v"));
        let mut rule = Object::new(Kind::Rule, "RULE", "v");
        rule.part_of = Some((view, String::new()));
        let rule = graph.add_extra(rule);
        let key = graph.add_extra(Object::new(Kind::Constraint, "CONSTRAINT", "pk"));
        let matview = graph.add_extra(Object::new(Kind::Table, "MATERIALIZED VIEW", "m"));
        graph.need(rule, key);
        graph.need(matview, key);
        let order = order(&mut graph);
        assert!(graph.objects[matview].postponed && is_separate(&graph, rule));
        let at = |id| order.ids.iter().position(|other| *other == id).unwrap();
        assert!(at(key) < at(matview) && at(key) < at(rule) && at(view) < at(key));
    }
}
