//! Work shared among threads, where there is enough of it.

/// Does the work on so many threads, and gathers what comes of it in the order of the work.
pub(crate) fn side_by_side<W: Send, O: Send>(
    threads: usize,
    work: Vec<W>,
    each: impl Fn(W, &mut Vec<O>) + Sync,
) -> Vec<O> {
    let mut gathered = Vec::new();
    if threads == 1 {
        work.into_iter().for_each(|one| each(one, &mut gathered));
        return gathered;
    }
    let share = work.len().div_ceil(threads).max(1);
    let mut work = work.into_iter();
    let each = &each;
    let run = |share: Vec<W>| {
        let mut out = Vec::new();
        share.into_iter().for_each(|one| each(one, &mut out));
        out
    };
    std::thread::scope(|scope| {
        let own: Vec<W> = work.by_ref().take(share).collect();
        let mut threads = Vec::new();
        loop {
            let next: Vec<W> = work.by_ref().take(share).collect();
            if next.is_empty() {
                break;
            }
            threads.push(scope.spawn(move || run(next)));
        }
        gathered = run(own);
        for thread in threads {
            match thread.join() {
                Ok(out) => gathered.extend(out),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    gathered
}
