//! Conjunctions to choose from, and the choice: where something coarse stands for several causes these are hidden by it, so
//! more is looked for in what a set leaves.

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use super::bits::Bits;
use super::fit::{LEAST, LEAST_ODDS};
use super::kin;
use super::known::Known;
use super::likelihood::{Counts, gain};
use super::postings::Postings;
use super::search::{Clauses, Found, Space, search};
use super::selection::{BETTER, Ground, Member, Set};

/// And only what accounts for such a share of the failures beyond what would be there without it.
const WEIGHT: f64 = 0.1;
/// Rounds of searches in what the set so far leaves over.
const SEARCHES: usize = 4;
/// Sets that are begun with "anything but this".
const OPPOSITES: usize = 2;

/// Conjunctions to choose from.
pub(super) struct Pool<'a> {
    pub(super) ground: Ground<'a>,
    postings: &'a [Postings],
    pub(super) members: Vec<Member>,
    /// What is in the pool.
    clauses: HashSet<Clauses, FixedState>,
    /// Sets that were left out of a search.
    searched: HashSet<Vec<usize>, FixedState>,
    known: Known<'a>,
    columns: usize,
    max_conditions: usize,
    differences: Vec<f64>,
}

impl<'a> Pool<'a> {
    /// Found in all rows.
    pub(super) fn new(ground: Ground<'a>, postings: &'a [Postings], columns: usize, max_conditions: usize) -> Pool<'a> {
        let differences = vec![0.0; ground.views.len()];
        let known = Known::new(ground.views, postings, ground.counts.len());
        let mut pool = Pool {
            ground,
            postings,
            members: Vec::new(),
            clauses: HashSet::with_hasher(FixedState::with_seed(7)),
            searched: HashSet::with_hasher(FixedState::with_seed(8)),
            known,
            columns,
            max_conditions,
            differences,
        };
        pool.look(&[]);
        pool
    }

    /// Looks for more where these do not hold. Whether there is any.
    fn look(&mut self, without: &[usize]) -> bool {
        if !self.searched.insert(without.to_vec()) {
            return false;
        }
        let mut left = self.ground.counts.to_vec();
        let nobody = Bits::none(left.len());
        for place in without {
            self.members[*place].bits.each_without(&nobody, |row| left[row] = Counts::default());
        }
        let (views, postings, columns) = (self.ground.views, self.postings, self.columns);
        let in_left = Ground::new(views, &left, columns, LEAST, 1, LEAST_ODDS);
        let (single, max_conditions) = (in_left.single.as_ref(), self.max_conditions);
        let space = Space { views, postings, single, counts: &left, columns, max_conditions };
        let found = search(&space, &mut self.known, LEAST);
        let known = self.members.len();
        for member in in_left.members(found, &mut self.known) {
            let is_worth = without.is_empty() || member.found.score() > LEAST;
            if is_worth && self.clauses.insert(member.found.clauses.clone()) {
                let counts = self.ground.sum(&member.bits);
                let found = Found { counts, gain: gain(counts, self.ground.whole()), ..member.found };
                let least_odds = kin::least_odds(&found.clauses, views, &self.differences);
                let mut member = self.ground.member(found, member.bits);
                member.least_odds = least_odds;
                self.members.push(member);
            }
        }
        self.members.len() > known
    }

    /// The best set. Where something coarse stands for several causes, those are hidden by it: so more is looked for in
    /// what each of the set leaves by itself, and in what all leave.
    pub(super) fn choose(&mut self, with_opposites: bool) -> Set {
        let mut set = self.best_of_values();
        for round in 0..SEARCHES {
            let mut fresh = self.look(&set.members);
            if set.members.len() > 1 {
                for at in 0..set.members.len() {
                    let mut others = set.members.clone();
                    others.remove(at);
                    fresh |= self.look(&others);
                }
            }
            if !fresh {
                break;
            }
            let mut better = self.ground.improved(&self.members, |member| !member.is_opposite(), &set);
            if round == 0 && set.members.len() > 1 {
                let anew = self.best_of_values();
                better = if anew.score > better.score + BETTER { anew } else { better };
            }
            if better.score <= set.score + BETTER {
                break;
            }
            set = better;
        }
        if !with_opposites {
            return set;
        }
        let with_opposites = self.with_opposites(&set);
        let is_much_better = with_opposites.score > set.score + LEAST.max(WEIGHT * set.score);
        // Or where it is as good, and says in one what takes all other values of something.
        let is_shorter = with_opposites.members.len() < set.members.len() && with_opposites.score > set.score + LEAST;
        if is_much_better || is_shorter { with_opposites } else { set }
    }

    /// The best set with "anything but this" in it: from the set without, and from each of the best of them.
    fn with_opposites(&self, set: &Set) -> Set {
        // One that stands for most of the set explains most of it by itself.
        let is_worth = |one: &Member| one.is_opposite() && one.found.score() > 0.5 * set.score;
        let mut opposites: Vec<usize> =
            (0..self.members.len()).filter(|place| is_worth(&self.members[*place])).collect();
        opposites
            .sort_by(|a, b| self.members[*b].found.score().total_cmp(&self.members[*a].found.score()).then(a.cmp(b)));
        let beginnings = opposites.into_iter().take(OPPOSITES).map(|place| Set { members: vec![place], score: 0.0 });
        let mut best = Set::default();
        for beginning in std::iter::once(set.clone()).chain(beginnings) {
            let grown = self.ground.improved(&self.members, |_| true, &beginning);
            best = if grown.score > best.score + BETTER { grown } else { best };
        }
        best
    }

    /// "Anything but this" is said only where nothing else is as good.
    fn best_of_values(&self) -> Set {
        self.ground.best(&self.members, |member| !member.is_opposite())
    }

    /// One that is weak, but accounts for much.
    pub(super) fn best_of_weight(&self) -> Set {
        let whole = self.ground.whole();
        self.ground.best(&self.members, |member| {
            let inside = member.found.counts;
            let elsewhere = whole.minus(inside);
            let usual = inside.size * elsewhere.bad / elsewhere.size.max(f64::MIN_POSITIVE);
            !member.is_opposite() && inside.bad - usual >= WEIGHT * whole.bad
        })
    }

    /// From now on what is chosen must stand out from these differences. Whether one of the set does not.
    pub(super) fn demand(&mut self, differences: &[f64], set: &Set) -> bool {
        self.differences = differences.to_vec();
        for member in &mut self.members {
            member.least_odds = kin::least_odds(&member.found.clauses, self.ground.views, differences);
        }
        !set.members.is_empty() && self.ground.score(&self.members, &set.members).is_none()
    }
}
