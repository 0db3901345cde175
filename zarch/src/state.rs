//! The architected state of one CPU, and what the CPU resets do to it.

use crate::psw::Psw;

/// CR0 after an initial CPU reset.
pub const CR0_RESET: u64 = 0xe0;
/// CR14 after an initial CPU reset.
pub const CR14_RESET: u64 = 0xc200_0000;

/// Everything the architecture gives one CPU, floating point but for the control register left out.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// The current PSW; its address is that of the next instruction.
    pub psw: Psw,
    /// General registers.
    pub gprs: [u64; 16],
    /// Access registers.
    pub acrs: [u32; 16],
    /// Control registers.
    pub crs: [u64; 16],
    /// Prefix: absolute address of the lowcore, a multiple of 8192 below 2 GiB.
    pub prefix: u32,
    /// Floating-point-control register; only kept, no instruction uses it yet.
    pub fpc: u32,
    /// Floating-point registers; only kept (for store status), no instruction uses them yet.
    pub fprs: [u64; 16],
    /// CPU timer, in TOD clock units (2^-12 microseconds). Negative means an interruption is pending.
    pub cpu_timer: u64,
    /// Clock comparator, in TOD clock units.
    pub clock_comparator: u64,
    /// TOD programmable register, bits 16-31 of the word.
    pub tod_programmable: u32,
}

impl State {
    /// A CPU after power-on: everything zero, then as after an initial CPU reset.
    #[must_use]
    pub fn new() -> Self {
        let mut state = Self::default();
        state.initial_reset();
        state
    }

    /// What an initial CPU reset does besides a CPU reset: PSW, prefix, CPU timer, clock comparator, TOD
    /// programmable register and FPC zero; CR0 = E0 and CR14 = C2000000 (hex), the other control registers zero.
    pub fn initial_reset(&mut self) {
        self.psw = Psw::default();
        self.crs = [0; 16];
        self.crs[0] = CR0_RESET;
        self.crs[14] = CR14_RESET;
        self.prefix = 0;
        self.fpc = 0;
        self.cpu_timer = 0;
        self.clock_comparator = 0;
        self.tod_programmable = 0;
    }

    /// What a clear reset does besides an initial CPU reset: general, access and floating-point registers zero.
    pub fn clear_reset(&mut self) {
        self.initial_reset();
        self.gprs = [0; 16];
        self.acrs = [0; 16];
        self.fprs = [0; 16];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used() -> State {
        State {
            psw: Psw::new(1, 2),
            gprs: [3; 16],
            acrs: [4; 16],
            crs: [5; 16],
            prefix: 0x2000,
            fpc: 6,
            fprs: [7; 16],
            cpu_timer: 8,
            clock_comparator: 9,
            tod_programmable: 10,
        }
    }

    #[test]
    fn an_initial_reset_keeps_general_and_access_registers() {
        let mut state = used();
        state.initial_reset();
        assert_eq!((state.gprs, state.acrs, state.fprs), ([3; 16], [4; 16], [7; 16]));
        assert_eq!((state.psw, state.prefix, state.fpc), (Psw::default(), 0, 0));
        assert_eq!((state.crs[0], state.crs[14]), (0xe0, 0xc200_0000));
        assert!(state.crs[1..14].iter().all(|&cr| cr == 0) && state.crs[15] == 0);
        assert_eq!((state.cpu_timer, state.clock_comparator, state.tod_programmable), (0, 0, 0));
    }

    #[test]
    fn a_clear_reset_leaves_what_power_on_leaves() {
        let mut state = used();
        state.clear_reset();
        assert_eq!(state, State::new());
    }
}
