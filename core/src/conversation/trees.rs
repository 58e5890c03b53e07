//! The trees: how many conversations each may keep and for how long, and the order in which it would forget them.

use super::digest::Tree;
use super::entry::Conversation;
use super::list::Ends;
use super::slab::Slab;
use alloc::collections::BTreeMap;
use core::time::Duration;

/// What a tree may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeBounds {
    /// How long a conversation may be silent.
    pub state_lifetime: Duration,
    /// Conversations that are kept at once.
    pub state_max: usize,
}

/// All trees that are configured, and those that are not any more and have conversations still.
pub(super) struct Trees {
    places: BTreeMap<Tree, u32>,
    trees: Slab<OneTree>,
}

pub(super) struct OneTree {
    pub tree: Tree,
    pub bounds: TreeBounds,
    pub len: usize,
    is_configured: bool,
    /// Those that go on or may be taken up again, the one that was silent for longest first.
    pub going: Ends,
    /// Those that have ended and stand for duplicates.
    pub ended: Ends,
}

impl Trees {
    /// For at most so many conversations.
    pub fn new(conversations_max: usize) -> Trees {
        Trees { places: BTreeMap::new(), trees: Slab::new(CONFIGURED_MAX + conversations_max) }
    }

    /// These are configured from now on, and no others.
    pub fn set(&mut self, configured: impl IntoIterator<Item = (Tree, TreeBounds)>) {
        for place in self.places.values() {
            self.trees[*place].is_configured = false;
        }
        for (tree, bounds) in configured {
            match self.places.get(&tree) {
                Some(place) => {
                    let one = &mut self.trees[*place];
                    (one.bounds, one.is_configured) = (bounds, true);
                }
                None => {
                    let (going, ended) = (Ends::EMPTY, Ends::EMPTY);
                    let one = OneTree { tree, bounds, len: 0, is_configured: true, going, ended };
                    let place =
                        self.trees.insert(one).ok().expect("a tree is configured or has a conversation");
                    self.places.insert(tree, place);
                }
            }
        }
        let Trees { places, trees } = self;
        places.retain(|_, place| {
            let stays = trees[*place].is_configured || trees[*place].len > 0;
            if !stays {
                trees.remove(*place);
            }
            stays
        });
    }

    pub fn find(&self, tree: Tree) -> Option<u32> {
        self.places.get(&tree).copied()
    }

    pub fn at(&self, place: u32) -> &OneTree {
        &self.trees[place]
    }

    /// Each tree and how many conversations it has, in the order of the trees.
    pub fn iter(&self) -> impl Iterator<Item = (Tree, usize)> {
        self.places.iter().map(|(tree, place)| (*tree, self.trees[*place].len))
    }

    /// A conversation of this tree is there from now on.
    pub fn add<K>(&mut self, conversations: &mut Slab<Conversation<K>>, place: u32) {
        self.trees[conversations[place].tree].len += 1;
        self.append(conversations, place);
    }

    /// It goes to the end of its list, by whether it has ended; it is on none.
    pub fn append<K>(&mut self, conversations: &mut Slab<Conversation<K>>, place: u32) {
        self.list(conversations, place).append(conversations, place, |conversation| &mut conversation.by_age);
    }

    /// It is taken off its list, as which it is on it.
    pub fn unlink<K>(&mut self, conversations: &mut Slab<Conversation<K>>, place: u32) {
        self.list(conversations, place).remove(conversations, place, |conversation| &mut conversation.by_age);
    }

    /// It is there no longer. With its last a tree goes that is configured no more.
    pub fn remove<K>(&mut self, conversations: &mut Slab<Conversation<K>>, place: u32) {
        self.unlink(conversations, place);
        let of = conversations[place].tree;
        let one = &mut self.trees[of];
        one.len -= 1;
        if one.len == 0 && !one.is_configured {
            let OneTree { tree, .. } = self.trees.remove(of);
            self.places.remove(&tree);
        }
    }

    fn list<K>(&mut self, conversations: &Slab<Conversation<K>>, place: u32) -> &mut Ends {
        let Conversation { tree, standing, .. } = &conversations[place];
        let one = &mut self.trees[*tree];
        if standing.has_ended() { &mut one.ended } else { &mut one.going }
    }
}

/// As many realms as a configuration may have, and the trees of no realm and of our own States.
const CONFIGURED_MAX: usize = 65_536 + 2;
