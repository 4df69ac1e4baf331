//! A tree of topic filters: which of them match a topic (section 4.7). It knows levels and
//! wildcards; what stands at a filter is `T`.
//!
//! All edges are in one hash table, keyed by parent and level, so a node costs the same whether it
//! has one child or a million.

use std::rc::Rc;

use hashbrown::{Equivalent, HashMap};
use ternmq_proto::planted::{self, Bug};

use crate::settings::Hasher;

/// Where a filter stands in the tree. Valid until it is pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

const ROOT: u32 = 0;
/// No such child: the root is nobody's child.
const NONE: u32 = 0;

#[derive(Debug)]
pub struct FilterTree<T> {
    nodes: Vec<Node<T>>,
    free: Vec<u32>,
    edges: HashMap<Edge, u32, Hasher>,
    /// Of the texts of all levels.
    text_bytes: u64,
}

#[derive(Debug)]
struct Node<T> {
    parent: u32,
    level: Rc<str>,
    children: u32,
    /// The child `+`.
    single: u32,
    /// The child `#`.
    multi: u32,
    value: T,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Edge {
    parent: u32,
    level: Rc<str>,
}

#[derive(Hash)]
struct EdgeRef<'a> {
    parent: u32,
    level: &'a str,
}

impl Equivalent<Edge> for EdgeRef<'_> {
    fn equivalent(&self, edge: &Edge) -> bool {
        self.parent == edge.parent && *self.level == *edge.level
    }
}

impl<T: Default> FilterTree<T> {
    pub fn new(seed: u64) -> Self {
        let root = Node {
            parent: ROOT,
            level: Rc::from(""),
            children: 0,
            single: NONE,
            multi: NONE,
            value: T::default(),
        };
        FilterTree {
            nodes: vec![root],
            free: Vec::new(),
            edges: HashMap::with_hasher(Hasher::with_seed(seed)),
            text_bytes: 0,
        }
    }

    /// What the nodes cost, without what their values have on the heap.
    pub fn bytes(&self) -> u64 {
        // A level is counted by its references; an edge has its place in a table that is not full.
        let node = size_of::<Node<T>>() + 2 * size_of::<(Edge, u32)>() + 2 * size_of::<usize>();
        self.text_bytes + (self.edges.len() * node) as u64
    }

    /// The node of a filter, made if need be.
    pub fn insert(&mut self, filter: &str) -> NodeId {
        let mut node = ROOT;
        for level in filter.split('/') {
            node = match self.edges.get(&EdgeRef { parent: node, level }) {
                Some(child) => *child,
                None => self.add_child(node, level),
            };
        }
        NodeId(node)
    }

    pub fn find(&self, filter: &str) -> Option<NodeId> {
        let mut node = ROOT;
        for level in filter.split('/') {
            node = *self.edges.get(&EdgeRef { parent: node, level })?;
        }
        Some(NodeId(node))
    }

    /// Takes a node out again, and its ancestors as far as nobody else needs them. `needed` says
    /// whether a value still stands for something.
    pub fn prune(&mut self, node: NodeId, needed: impl Fn(&T) -> bool) {
        let mut at = node.0;
        while at != ROOT && self.nodes[at as usize].children == 0 {
            if needed(&self.nodes[at as usize].value) {
                return;
            }
            at = self.remove_leaf(at);
        }
    }

    pub fn get(&self, node: NodeId) -> &T {
        &self.nodes[node.0 as usize].value
    }

    pub fn get_mut(&mut self, node: NodeId) -> &mut T {
        &mut self.nodes[node.0 as usize].value
    }

    /// The text of a filter.
    pub fn filter(&self, node: NodeId) -> String {
        let mut levels = Vec::new();
        let mut at = node.0;
        while at != ROOT {
            levels.push(&*self.nodes[at as usize].level);
            at = self.nodes[at as usize].parent;
        }
        levels.reverse();
        levels.join("/")
    }

    /// Visits every filter that matches the topic. A filter that begins with a wildcard does not
    /// match a topic that begins with `$` (MQTT-4.7.2-1).
    pub fn matching(&self, topic: &str, mut visit: impl FnMut(NodeId, &T)) {
        let hidden = topic.starts_with('$') && !planted::is(Bug::DollarMatchesWildcard);
        let mut pending = vec![(ROOT, Some(topic))];
        while let Some((at, rest)) = pending.pop() {
            let node = &self.nodes[at as usize];
            let wildcards = !(hidden && at == ROOT);
            if wildcards && node.multi != NONE {
                visit(NodeId(node.multi), &self.nodes[node.multi as usize].value);
            }
            let Some(rest) = rest else {
                visit(NodeId(at), &node.value);
                continue;
            };
            let (level, rest) = match rest.split_once('/') {
                Some((level, rest)) => (level, Some(rest)),
                None => (rest, None),
            };
            if wildcards && node.single != NONE {
                pending.push((node.single, rest));
            }
            if let Some(child) = self.edges.get(&EdgeRef { parent: at, level }) {
                pending.push((*child, rest));
            }
        }
    }

    fn add_child(&mut self, parent: u32, level: &str) -> u32 {
        let text: Rc<str> = Rc::from(level);
        self.text_bytes += level.len() as u64;
        let node = Node {
            parent,
            level: Rc::clone(&text),
            children: 0,
            single: NONE,
            multi: NONE,
            value: T::default(),
        };
        let child = match self.free.pop() {
            Some(index) => {
                self.nodes[index as usize] = node;
                index
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        self.edges.insert(Edge { parent, level: text }, child);
        let parent = &mut self.nodes[parent as usize];
        parent.children += 1;
        match level {
            "+" => parent.single = child,
            "#" => parent.multi = child,
            _ => {}
        }
        child
    }

    /// Removes a node without children; returns its parent.
    fn remove_leaf(&mut self, at: u32) -> u32 {
        let parent = self.nodes[at as usize].parent;
        let level = Rc::clone(&self.nodes[at as usize].level);
        self.edges.remove(&EdgeRef { parent, level: &level });
        self.text_bytes -= level.len() as u64;
        self.nodes[at as usize].value = T::default();
        self.free.push(at);
        let above = &mut self.nodes[parent as usize];
        above.children -= 1;
        match &*level {
            "+" => above.single = NONE,
            "#" => above.multi = NONE,
            _ => {}
        }
        parent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_proto::TopicFilter;

    const FILTERS: [&str; 16] = [
        "#", "+", "+/+", "/+", "+/#", "a", "a/#", "a/+", "a/b", "a/+/c", "a//c", "/", "$SYS/#",
        "$SYS/+", "+/b/#", "a/b/c/d",
    ];
    const TOPICS: [&str; 14] = [
        "a",
        "a/",
        "/",
        "//",
        "/a",
        "a/b",
        "a/b/c",
        "a//c",
        "a/b/c/d",
        "$SYS",
        "$SYS/x",
        "b",
        "b/b",
        "a/b/c/d/e",
    ];

    #[test]
    fn the_tree_agrees_with_matching_one_filter_at_a_time() {
        let mut tree: FilterTree<u32> = FilterTree::new(1);
        for filter in FILTERS {
            let node = tree.insert(filter);
            *tree.get_mut(node) = 1;
            assert_eq!(tree.filter(node), filter);
            assert_eq!(tree.find(filter), Some(node));
        }
        for topic in TOPICS {
            let mut found = Vec::new();
            tree.matching(topic, |node, value| {
                if *value > 0 {
                    found.push(tree.filter(node));
                }
            });
            found.sort();
            let mut expected: Vec<_> = FILTERS
                .iter()
                .filter(|filter| TopicFilter::parse(filter).unwrap().matches(topic))
                .map(|filter| (*filter).to_owned())
                .collect();
            expected.sort();
            assert_eq!(found, expected, "{topic}");
        }
    }

    #[test]
    fn a_pruned_filter_leaves_its_neighbours() {
        let mut tree: FilterTree<u32> = FilterTree::new(1);
        let nodes: Vec<_> = FILTERS.iter().map(|filter| tree.insert(filter)).collect();
        for node in &nodes {
            *tree.get_mut(*node) = 1;
        }
        for (index, node) in nodes.iter().enumerate() {
            *tree.get_mut(*node) = 0;
            tree.prune(*node, |value| *value > 0);
            assert!(tree.find(FILTERS[index]).is_none_or(|node| *tree.get(node) == 0));
            for later in &FILTERS[index + 1..] {
                assert!(tree.find(later).is_some(), "{later} went with {}", FILTERS[index]);
            }
        }
        assert!(tree.edges.is_empty());
        assert_eq!(tree.free.len() + 1, tree.nodes.len());
    }
}
