//! Writes mails.

use super::Processed;
use crate::campaign::system::System;
use crate::campaign::task::Task;

pub(super) fn mail(system: &mut System, task: &mut Task) -> Processed {
    system.work(task, 0.002);
    system.ask_outside(task, "smtp.provider.example", 0.03);
    Processed::Done
}
