//! The guest's console on KVM.

use crate::console::lines_come_back;

#[test]
#[ignore = "needs /dev/kvm; the lab runs it"]
fn lines_of_a_pipe_reach_the_line_mode_console_and_come_back_as_text() {
    lines_come_back("kvm");
}
