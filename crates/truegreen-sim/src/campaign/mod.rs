//! The campaign: a shop of nine services that sends real OTLP bytes on simulated time, every silent failure in it with
//! several seeds and rates, and hours of harmless noise. What the engine says is held against what really happened, and
//! beside it stands what the usual rules would have said.
//!
//! What it is not: tuned to the engine. It knows nothing of detectors but the names of what they find.
//!
//! Read in this order: [`record`] (what is told) and [`bytes`], [`clock`], [`fleet`] (services, processes, hosts),
//! [`task`] (work in one process), [`services`] (what each does), [`broker`] and `messaging`, [`exporter`] and
//! [`meters`] (what leaves a process), [`traffic`], [`noise`], [`fault`], [`planted`] (whom it strikes alone, and which
//! change brought it), [`system`] (all of it on an agenda), [`run`], [`expectation`], [`judge`], [`kept`] and [`why`] (causes),
//! [`baselines`], [`report`].

pub mod baselines;
pub mod broker;
pub mod bytes;
pub mod clock;
pub mod expectation;
pub mod exporter;
pub mod fault;
pub mod fleet;
pub mod judge;
pub mod kept;
mod messaging;
pub mod meters;
pub mod noise;
pub mod planted;
pub mod record;
pub mod report;
pub mod run;
pub mod services;
pub mod system;
pub mod task;
pub mod traffic;
pub mod why;

#[cfg(test)]
mod tests {
    use super::exporter::Sampling;
    use super::fault::{Fault, Strike};
    use super::judge::judge;
    use super::noise::{Control, Noise};
    use super::report::Campaign;
    use super::run::{CONTRACT, Plan, Start, Subject, live};
    use super::system::{Shown, System};

    fn shown(fault: Option<Fault>) -> (System, Vec<(f64, Shown)>) {
        let strike = fault.map(|fault| Strike::draw(fault, 3, true));
        let mut system = System::new(3, 10.0, Noise::default(), strike, 40.0);
        let mut shown = Vec::new();
        while let Some(next) = system.advance() {
            shown.push(next);
        }
        (system, shown)
    }

    #[test]
    fn the_same_seed_gives_the_same_world_and_time_never_runs_backwards() {
        let (_, first) = shown(None);
        assert!(first.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        assert_eq!(first, shown(None).1);
        assert!(first.len() > 100, "{} requests", first.len());
    }

    #[test]
    fn every_fault_does_harm_and_a_healthy_world_has_none() {
        assert_eq!(shown(None).0.truth.harmed, 0);
        for fault in Fault::ALL {
            // A price that changes, a return by freight: some come seldom.
            let strike = Strike::draw(fault, 3, true);
            let mut system = System::new(3, 50.0, Noise::default(), Some(strike), 40.0);
            while system.advance().is_some() {}
            assert!(system.truth.harmed > 0, "{}", fault.name());
        }
    }

    #[test]
    fn one_trace_in_ten_is_kept_and_the_threshold_says_so() {
        let sampling = Sampling { ratio: 0.1, is_marked: true };
        assert!(sampling.trace_state().starts_with("ot=th:e6666"), "{}", sampling.trace_state());
        let mut rng = fastrand::Rng::with_seed(1);
        let kept = (0..10_000).filter(|_| sampling.keeps(rng.u128(..))).count();
        assert!((900..1_100).contains(&kept), "{kept}");
    }

    #[test]
    fn the_contract_is_sound_and_a_skip_is_found_where_it_happens() {
        assert!(CONTRACT.contains("stock_updated"));
        let plan = Plan { subject: Subject::Fault(Fault::SilentSkip, Start::AtOnce), seed: 1, rate: 10.0 };
        let judged = judge(&live(plan).unwrap());
        assert!(judged.found.is_some() && judged.is_right, "{judged:?}");
        let campaign = Campaign { runs: vec![judged], ..Campaign::default() };
        assert!(campaign.tables().contains("| silent-skip | loss | 1 of 1 |"), "{}", campaign.tables());
    }

    #[test]
    fn a_false_finding_or_an_unfound_fault_breaks_the_campaign() {
        let plan = Plan { subject: Subject::Control(Control::Calm, 30), seed: 1, rate: 5.0 };
        let mut judged = judge(&live(plan).unwrap());
        judged.false_findings.clear();
        let calm = Campaign { runs: vec![judged.clone()], ..Campaign::default() };
        assert!(calm.holds());
        judged.false_findings.push(super::judge::Said { at: 1.0, what: "loss".into() });
        assert!(!Campaign { runs: vec![judged], ..Campaign::default() }.holds());
    }
}
