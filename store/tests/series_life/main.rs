//! Whole lives of figures against a plain list of readings: dense and sparse series side by side in a
//! group, late readings, rings that turn, other archives, renames, deletions, and ends by kill -9.

mod life;
mod model;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use life::{Life, Step, step};

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn a_store_holds_what_a_list_of_readings_holds(steps in prop::collection::vec(step(), 1..120)) {
        let dir = tempfile::tempdir().unwrap();
        let mut life = Life::begin(dir.path());
        for step in &steps {
            life.take(step);
        }
        life.check_all();
    }
}

/// Tells the process that lives where, and from which seed.
const WHERE: &str = "VIGIE_TEST_LIFE";
/// The name by which the test is started as that process.
const LIVES: &str = "lives_until_it_is_killed";
const KILLS: usize = 6;
const STEPS: usize = 150;

/// The same steps for the same seed, in whichever process.
fn steps(seed: u64) -> Vec<Step> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let all = prop::collection::vec(step(), STEPS);
    all.new_tree(&mut runner).expect("steps").current()
}

/// The process that is killed; by itself it is a life from a seed to its end.
#[test]
fn lives_until_it_is_killed() {
    let given = std::env::var(WHERE).ok();
    let given = given.as_deref().and_then(|text| text.split_once(' '));
    let own = tempfile::tempdir().unwrap();
    let (seed, dir) = given.map_or((7, own.path()), |(seed, dir)| {
        (seed.parse().expect("a number"), Path::new(dir))
    });
    let mut life = Life::begin(dir);
    for (done, step) in steps(seed).iter().enumerate() {
        life.take(step);
        if given.is_some() {
            println!("done {done}");
        }
    }
    life.check_all();
}

/// Lets a process live and kills it after so many steps; how many it told of.
fn live_and_die(dir: &Path, seed: u64, after: usize) -> usize {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", LIVES, "--nocapture", "--test-threads=1"])
        .env(WHERE, format!("{seed} {}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut done = 0;
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        let line = line.expect("text");
        // The harness writes before the first of them on the same line.
        let Some((_, number)) = line.split_once("done ") else {
            continue;
        };
        done = number.parse::<usize>().expect("a number") + 1;
        if done == after {
            child.kill().expect("it is ours");
        }
    }
    assert!(!child.wait().expect("it ends").success(), "killed");
    done
}

#[test]
fn what_was_acknowledged_outlives_kill_9() {
    for kill in 0..KILLS {
        let seed = 20_261_121 + kill as u64;
        let dir = tempfile::tempdir().unwrap();
        let steps = steps(seed);
        let after = STEPS * (kill + 1) / (KILLS + 2);
        let done = live_and_die(dir.path(), seed, after);
        assert!((after..STEPS).contains(&done), "{done} steps");
        // It died before, within or after the step that it did not tell of any more.
        let mut life = Life::taken_up(dir.path(), &steps[..done], steps.get(done));
        for step in &steps[done + 1..] {
            life.take(step);
        }
        life.check_all();
    }
}

/// A life with pages in every archive and readings in the journal, its writer closed.
fn short_life(dir: &Path) -> Life {
    let rounds = |seed| Step::Rounds {
        seconds: 60,
        bits: u64::MAX,
        seed,
    };
    let mut life = Life::begin(dir);
    for seed in 0..12 {
        life.take(&rounds(seed));
        life.take(&Step::Commit);
    }
    life.take(&Step::Silence(5 * 3600));
    life.take(&rounds(12));
    life.take(&Step::Commit);
    life.close();
    life
}

/// Wherever it is: nothing crashes, and what is answered is true.
#[test]
fn a_flipped_bit_is_survived() {
    const FLIPS: usize = 60;
    let dir = tempfile::tempdir().unwrap();
    let life = short_life(dir.path());
    let whole = std::fs::read(dir.path().join("vigie.db")).unwrap();
    let mut noise = 20_261_121u64;
    let mut told = 0;
    for flip in 0..FLIPS {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(noise >> 33).unwrap() % whole.len();
        let other = tempfile::tempdir().unwrap();
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (flip % 8);
        std::fs::write(other.path().join("vigie.db"), &damaged).unwrap();
        told += usize::from(life.is_told_truly(other.path()));
    }
    assert!(
        told > 0,
        "much of a file are pages, and they have checksums"
    );
}

/// In a page: it costs that chunk of that group alone, and `verify` names it.
#[test]
fn a_damaged_page_is_named_and_nothing_else_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let life = short_life(dir.path());
    let file = rusqlite::Connection::open(dir.path().join("vigie.db")).unwrap();
    let mut stmt = file.prepare("SELECT id, data FROM ts_page").unwrap();
    let rows = stmt.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    let pages: Vec<(i64, Vec<u8>)> = rows.map(Result::unwrap).collect();
    assert!(pages.len() > 20, "{}", pages.len());
    for (n, (id, bytes)) in pages.iter().enumerate() {
        let mut damaged = bytes.clone();
        let at = n * 7919 % bytes.len();
        damaged[at] ^= 1 << (n % 8);
        let put = |bytes: &[u8]| {
            file.execute("UPDATE ts_page SET data = ?2 WHERE id = ?1", (id, bytes))
                .unwrap()
        };
        put(&damaged);
        life.has_lost_one_page(*id);
        put(bytes);
    }
    assert_eq!(life.differs(), None);
}
