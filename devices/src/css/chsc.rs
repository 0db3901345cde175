//! CHANNEL SUBSYSTEM CALL: command blocks and their answers.
//!
//! All numbers in the blocks are big-endian. Commands that Linux issues and that are not here (it asks for more with
//! channel paths, QDIO and storage-class memory) are answered with the response code for commands that are not
//! installed, upon which it does without (`drivers/s390/cio/chsc.c: chsc_error_from_response`, 6.12). Commands, checks and
//! characteristics are those of QEMU's `target/s390x/ioinst.c: ioinst_handle_chsc`.

use super::{Css, subchannel::IMAGE};
use crate::ProgramInterruption;

/// Command codes.
mod command {
    pub(super) const STORE_CHANNEL_PATH_DESCRIPTION: u16 = 0x0002;
    pub(super) const STORE_EVENT_INFORMATION: u16 = 0x000e;
    pub(super) const STORE_CHANNEL_SUBSYSTEM_CHARACTERISTICS: u16 = 0x0010;
    pub(super) const SET_DOMAIN_ATTRIBUTES: u16 = 0x0031;
}

/// Response codes.
mod code {
    pub(super) const DONE: u16 = 0x0001;
    pub(super) const INVALID_BLOCK: u16 = 0x0003;
    pub(super) const NOT_INSTALLED: u16 = 0x0004;
    pub(super) const NO_EVENT: u16 = 0x0005;
    pub(super) const INVALID_FORMAT: u16 = 0x0007;
    pub(super) const INVALID_IMAGE: u16 = 0x0008;
}

/// The page that a block and its answer are in.
const PAGE: u16 = 4096;
/// The answer without anything but its response code.
const HEADER: u16 = 8;
/// Length of a command block without data.
const SHORT: u16 = 16;

/// The first 16 bytes of a command block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    length: u16,
    command: u16,
    words: [u32; 3],
}

/// An answer, with `data` behind its header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    code: u16,
    parameter: u32,
    data: Vec<u8>,
}

impl Response {
    /// An answer that is its response code.
    fn of(code: u16) -> Self {
        Self { code, parameter: 0, data: Vec::new() }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        // What there is fits into a page.
        let length = HEADER + u16::try_from(self.data.len()).unwrap_or(PAGE);
        let mut bytes = [length.to_be_bytes(), self.code.to_be_bytes()].concat();
        bytes.extend(self.parameter.to_be_bytes());
        bytes.extend(&self.data);
        bytes
    }
}

impl Request {
    /// Reads it.
    ///
    /// # Errors
    /// An operand exception for a length that no block has.
    pub(super) fn of(bytes: [u8; 16]) -> Result<Self, ProgramInterruption> {
        let [a, b, c, d, rest @ ..] = bytes;
        let length = u16::from_be_bytes([a, b]);
        if !(SHORT..=PAGE - HEADER).contains(&length) || length % 8 != 0 {
            return Err(ProgramInterruption::Operand);
        }
        let word =
            |n: usize| rest[4 * n..4 * n + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        Ok(Self { length, command: u16::from_be_bytes([c, d]), words: [0, 1, 2].map(word) })
    }

    /// Its length in bytes: 16 to 4088.
    pub(super) fn length(&self) -> u16 {
        self.length
    }

    pub(super) fn answer(&self, css: &mut Css) -> Response {
        tracing::trace!(command = format_args!("{:#06x}", self.command), "channel subsystem call");
        match self.command {
            command::STORE_CHANNEL_PATH_DESCRIPTION => self.channel_path_description(),
            command::STORE_EVENT_INFORMATION => self.event_information(css),
            command::STORE_CHANNEL_SUBSYSTEM_CHARACTERISTICS => self.characteristics(),
            command::SET_DOMAIN_ATTRIBUTES => self.domain_attributes(css),
            _ => Response::of(code::NOT_INSTALLED),
        }
    }

    /// Whether the image is one that is there: 0 is the guest's own.
    fn names_image(image: u8, given: bool) -> bool {
        image == 0 || given && image == IMAGE
    }

    /// No channel path is there, so none is described (`ioinst_handle_chsc_scpd`).
    fn channel_path_description(&self) -> Response {
        const RESERVED: [u32; 3] = [0xc000_f000, 0xffff_ff00, u32::MAX];
        const FORMAT: u32 = 0x0f00_0000;
        const IMAGE_IS_GIVEN: u32 = 0x2000_0000;
        const CHANNEL_PATH_DATA: u32 = 0x1000_0000;
        let [first, second, _] = self.words;
        let [_, image, formats, from] = first.to_be_bytes();
        let [.., to] = second.to_be_bytes();
        let parameter = match formats & 0xf {
            0 | 1 => u32::from(first & CHANNEL_PATH_DATA != 0),
            format => format.into(),
        };
        let reserved = self.words.iter().zip(RESERVED).any(|(word, reserved)| word & reserved != 0);
        let code = if self.length != SHORT || reserved {
            code::INVALID_BLOCK
        } else if first & FORMAT != 0 {
            code::INVALID_FORMAT
        } else if !Self::names_image(image, first & IMAGE_IS_GIVEN != 0) {
            code::INVALID_IMAGE
        } else if to < from {
            code::INVALID_BLOCK
        } else {
            code::DONE
        };
        Response { code, parameter, data: Vec::new() }
    }

    /// The AP configuration has changed, or nothing has. What it has changed to is for the guest to ask with PQAP
    /// (`ioinst_handle_chsc_sei`, `hw/vfio/ap.c: ap_chsc_sei_nt0_get_event`; Linux: `drivers/s390/cio/chsc.c:
    /// chsc_process_sei_nt0`, 6.12).
    fn event_information(&self, css: &mut Css) -> Response {
        /// Flags (no more events), validity, reporting source "accessibility of an adapter", content code "AP
        /// configuration".
        const AP_CONFIGURATION_CHANGED: [u8; 4] = [0, 0, 5, 3];
        if !css.event {
            return Response::of(code::NO_EVENT);
        }
        // QEMU writes beyond its buffer here.
        if self.length > PAGE - HEADER - 4 {
            return Response::of(code::INVALID_BLOCK);
        }
        css.event = false;
        Response { code: code::DONE, parameter: 0, data: AP_CONFIGURATION_CHANGED.to_vec() }
    }

    /// The characteristics of QEMU's channel subsystem, which Linux knows to do without what is not there
    /// (`ioinst_handle_chsc_scsc`).
    fn characteristics(&self) -> Response {
        const RESERVED: [u32; 3] = [0xdff0_00ff, u32::MAX, u32::MAX];
        const FORMAT: u32 = 0x000f_0000;
        const IMAGE_IS_GIVEN: u32 = 0x2000_0000;
        /// Words of general characteristics, and then of those of this instruction.
        const GENERAL: usize = 510;
        const ALL: usize = GENERAL + 508;
        const CHARACTERISTICS: [(usize, u32); 5] = [
            (0, 0x0300_0000),
            (1, 0x0007_9000),
            (3, 0x0008_0000),
            (GENERAL, 0x4000_0000),
            (GENERAL + 3, 0x0004_0000),
        ];
        let [first, ..] = self.words;
        let [.., image, _] = first.to_be_bytes();
        if self.length != SHORT {
            return Response::of(code::INVALID_BLOCK);
        }
        if first & FORMAT != 0 {
            return Response::of(code::INVALID_FORMAT);
        }
        if !Self::names_image(image, first & IMAGE_IS_GIVEN != 0) {
            return Response::of(code::INVALID_IMAGE);
        }
        if self.words.iter().zip(RESERVED).any(|(word, reserved)| word & reserved != 0) {
            return Response::of(code::INVALID_BLOCK);
        }
        let mut words = [0; ALL];
        for (word, characteristics) in CHARACTERISTICS {
            words[word] = characteristics;
        }
        let data = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        Response { code: code::DONE, parameter: 0, data }
    }

    /// Multiple images of the channel subsystem, or multiple sets of subchannels, can be enabled; both then have nothing
    /// in them (`ioinst_handle_chsc_sda`).
    fn domain_attributes(&self, css: &mut Css) -> Response {
        const LENGTH: u16 = 0x0400;
        const RESERVED: u32 = 0xf0ff_0000;
        const FORMAT: u32 = 0x0f00_0000;
        const IMAGES: u32 = 0;
        const SUBCHANNEL_SETS: u32 = 2;
        let [first, ..] = self.words;
        if self.length != LENGTH || first & RESERVED != 0 {
            return Response::of(code::INVALID_BLOCK);
        }
        if first & FORMAT != 0 {
            return Response::of(code::INVALID_FORMAT);
        }
        match first & 0xffff {
            IMAGES => css.images = true,
            SUBCHANNEL_SETS => {}
            _ => return Response::of(code::INVALID_BLOCK),
        }
        Response::of(code::DONE)
    }
}
