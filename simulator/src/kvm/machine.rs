//! What KVM on the simulated machine offers a guest's CPU: the machine model's features, cut to what
//! the interpreter and the simulated adapters really execute. A facility bit is never a lie.
//!
//! It knows nothing of VMs.

use super::{crypto::CryptoHost, host::HostFacts};
use crate::ApFacilities;
use adjunct_cpu_model::{Feature, FeatureSet, Home, HostCpu, Model};
use adjunct_zarch::IMPLEMENTED_FACILITIES;

/// Facility 76, MSA extension 3: protected keys.
pub(super) const MSAX3: u16 = 76;
/// Facility 15, AP facilities test.
pub(super) const APFT: u16 = 15;
/// Facility 65, AP-queue interruption.
pub(super) const AQIC: u16 = 65;
/// Facility 12, query AP configuration information.
const APQCI: u16 = 12;
/// Facility 9, sense running status.
pub(super) const SENSE_RUNNING: u16 = 9;

/// The CPU that the host can give a guest.
///
/// Features that are no facility are left out, but for `ap`: they are SIE's for guests of guests, which
/// there are none of, or ask for devices. Function codes are left out too: the interpreter has none of the
/// instructions that have them (PLO, and those of cryptography).
pub(super) fn host_cpu(host: &HostFacts) -> HostCpu {
    let HostFacts { model, facilities, .. } = *host;
    let features = model.full().iter().filter(|feature| is_executed(*feature, facilities)).collect();
    HostCpu::new(model, with_what_they_require(features))
}

/// The features less those built on one that is not there, for example `ipter` without `dateh`.
fn with_what_they_require(mut features: FeatureSet) -> FeatureSet {
    let unfounded = |features: FeatureSet| {
        features.iter().find(|feature| feature.requires().any(|required| !features.contains(required)))
    };
    while let Some(feature) = unfounded(features) {
        features.remove(feature);
    }
    features
}

/// What a VM's crypto setup depends on.
pub(super) fn crypto_host(host: &HostFacts) -> CryptoHost {
    let offered = host_cpu(host).features;
    CryptoHost {
        ap: has_ap(host.model),
        msax3: host.model.full().contains(Feature::Msa3Base),
        wrapping: offered.contains(Feature::Msa3Base),
        apxa: host.apxa,
        aiv: offered.contains(Feature::Apqi),
    }
}

/// Whether the machine has AP instructions. Cards are not needed for that.
fn has_ap(model: &Model) -> bool {
    model.full().contains(Feature::Ap)
}

fn is_executed(feature: Feature, ap: ApFacilities) -> bool {
    match feature.home() {
        Home::Facility(APQCI) => ap.qci,
        Home::Facility(APFT) => ap.test,
        Home::Facility(AQIC) => ap.interruptions,
        Home::Facility(number) => IMPLEMENTED_FACILITIES.contains(&number),
        _ => feature == Feature::Ap,
    }
}
