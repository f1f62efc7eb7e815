//! Time servers with clocks of their own.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use truegreen_model::probe::{ProbeReport, Standing};

use crate::peer::{PATIENCE, SHORT, assert_fails, check, config, probe};

/// A time server whose clock is ahead by so many seconds; `change` has the last word on its answer.
fn server(ahead: f64, change: impl Fn(&mut Vec<u8>) + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            assert_eq!(length, 48);
            let mut answer = vec![0; 48];
            answer[0] = 4 << 3 | 4;
            answer[1] = 2;
            answer[24..32].copy_from_slice(&question[40..48]);
            for at in [32, 40] {
                answer[at..at + 8].copy_from_slice(&now(ahead).to_be_bytes());
            }
            change(&mut answer);
            let _gone = socket.send_to(&answer, from);
        }
    });
    address
}

fn now(ahead: f64) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() + ahead + 2_208_988_800.0;
    (since * 4_294_967_296.0) as u64
}

fn ask(address: SocketAddr, timeout: Duration) -> ProbeReport {
    let mut config = config(&format!("ntp://{address}"));
    config.timeout = timeout;
    probe(config)
}

#[test]
fn a_clock_that_is_off_fails_and_says_which_way() {
    for (ahead, words) in [(300.0, "s behind"), (-300.0, "s ahead")] {
        let report = ask(server(ahead, |_| {}), PATIENCE);
        assert_fails(&report, words);
        let offset = check(&report, "offset").observed.clone().unwrap();
        assert!((offset.value - ahead).abs() < 5.0 && offset.unit == "s", "{offset:?}");
    }
}

#[test]
fn a_server_that_tells_no_time_is_unknown() {
    let kissed = ask(server(0.0, |answer| answer[1] = 0), PATIENCE);
    assert_eq!(kissed.standing, Standing::Unknown);
    assert!(check(&kissed, "offset").reason.contains("it sends us away"), "{kissed:?}");
    let lost = ask(server(0.0, |answer| answer[0] |= 0xc0), PATIENCE);
    assert_eq!(lost.standing, Standing::Unknown);
    assert!(check(&lost, "offset").reason.contains("not synchronised"), "{lost:?}");
}

/// Guarantee: whoever cannot read what we sent cannot set our idea of the time.
#[test]
fn answers_to_what_was_not_asked_are_passed_over() {
    let report = ask(server(300.0, |answer| answer[24] ^= 1), SHORT);
    assert_fails(&report, "did not answer what time it is within 200 ms");
    let garbage = ask(server(300.0, |answer| *answer = b"garbage".to_vec()), SHORT);
    assert_fails(&garbage, "did not answer what time it is");
}

#[test]
fn silence_and_a_closed_port_are_told_apart() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_fails(&ask(silent.local_addr().unwrap(), SHORT), "did not answer what time it is within 200 ms");
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_fails(&ask(closed, PATIENCE), "nothing listens there");
}
