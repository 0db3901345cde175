//! What no write to sysfs brings about: what the bus found when it last looked, and what it did then.

use super::QueueState;
use crate::host::State;
use adjunct_ap::Apqn;

impl State {
    /// Has the bus believe of a queue what it found when it last looked, and has it brought up, or not.
    pub(crate) fn restore_queue(
        &mut self,
        apqn: Apqn,
        config: Option<bool>,
        checkstop: Option<bool>,
        initiated: Option<bool>,
    ) {
        let Some(queue) = self.bus.queues.get_mut(&apqn) else { return };
        queue.config = config.unwrap_or(queue.config);
        queue.checkstop = checkstop.unwrap_or(queue.checkstop);
        let is = queue.state != QueueState::Uninitiated;
        if initiated == Some(true) && !is {
            self.initiate(apqn);
        }
    }
}
