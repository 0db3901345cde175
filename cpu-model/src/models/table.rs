//! The models, and what each release of the machine added to its predecessor.
//!
//! Source: QEMU's `target/s390x/cpu_models.c` (the definitions, oldest first; a business-class machine
//! follows the enterprise-class machine of its GA level) and `target/s390x/gen-features.c` (the sets), 11.1.
//! The order matters: the searches for a host's model and for a baseline walk it.

use super::{Model, Release};
use crate::features::Feature::*;
use crate::features::FeatureGroup as G;

/// Marketing names that came after QEMU had settled on neutral ones. QEMU itself does not know them.
pub(super) const ALIASES: &[(&str, &str)] = &[("z15", "gen15a"), ("z16", "gen16a"), ("z17", "gen17a")];

#[rustfmt::skip]
pub(super) static MODELS: [Model; 40] = [
    //         name      description                type    gen.ga  mha hmfai
    Model::row("z900",    "IBM zSeries 900 GA1",      0x2064,  7, 1, 38, 0x00000000),
    Model::row("z900.2",  "IBM zSeries 900 GA2",      0x2064,  7, 2, 38, 0x00000000),
    Model::row("z900.3",  "IBM zSeries 900 GA3",      0x2064,  7, 3, 38, 0x00000000),
    Model::row("z800",    "IBM zSeries 800 GA1",      0x2066,  7, 3, 38, 0x00000000),
    Model::row("z990",    "IBM zSeries 990 GA1",      0x2084,  8, 1, 38, 0x00000000),
    Model::row("z990.2",  "IBM zSeries 990 GA2",      0x2084,  8, 2, 38, 0x00000000),
    Model::row("z990.3",  "IBM zSeries 990 GA3",      0x2084,  8, 3, 38, 0x00000000),
    Model::row("z890",    "IBM zSeries 880 GA1",      0x2086,  8, 3, 38, 0x00000000),
    Model::row("z990.4",  "IBM zSeries 990 GA4",      0x2084,  8, 4, 38, 0x00000000),
    Model::row("z890.2",  "IBM zSeries 880 GA2",      0x2086,  8, 4, 38, 0x00000000),
    Model::row("z990.5",  "IBM zSeries 990 GA5",      0x2084,  8, 5, 38, 0x00000000),
    Model::row("z890.3",  "IBM zSeries 880 GA3",      0x2086,  8, 5, 38, 0x00000000),
    Model::row("z9EC",    "IBM System z9 EC GA1",     0x2094,  9, 1, 40, 0x00000000),
    Model::row("z9EC.2",  "IBM System z9 EC GA2",     0x2094,  9, 2, 40, 0x00000000),
    Model::row("z9BC",    "IBM System z9 BC GA1",     0x2096,  9, 2, 40, 0x00000000),
    Model::row("z9EC.3",  "IBM System z9 EC GA3",     0x2094,  9, 3, 40, 0x00000000),
    Model::row("z9BC.2",  "IBM System z9 BC GA2",     0x2096,  9, 3, 40, 0x00000000),
    Model::row("z10EC",   "IBM System z10 EC GA1",    0x2097, 10, 1, 43, 0x00000000),
    Model::row("z10EC.2", "IBM System z10 EC GA2",    0x2097, 10, 2, 43, 0x00000000),
    Model::row("z10BC",   "IBM System z10 BC GA1",    0x2098, 10, 2, 43, 0x00000000),
    Model::row("z10EC.3", "IBM System z10 EC GA3",    0x2097, 10, 3, 43, 0x00000000),
    Model::row("z10BC.2", "IBM System z10 BC GA2",    0x2098, 10, 3, 43, 0x00000000),
    Model::row("z196",    "IBM zEnterprise 196 GA1",  0x2817, 11, 1, 44, 0x08000000),
    Model::row("z196.2",  "IBM zEnterprise 196 GA2",  0x2817, 11, 2, 44, 0x08000000),
    Model::row("z114",    "IBM zEnterprise 114 GA1",  0x2818, 11, 2, 44, 0x08000000),
    Model::row("zEC12",   "IBM zEnterprise EC12 GA1", 0x2827, 12, 1, 44, 0x08000000),
    Model::row("zEC12.2", "IBM zEnterprise EC12 GA2", 0x2827, 12, 2, 44, 0x08000000),
    Model::row("zBC12",   "IBM zEnterprise BC12 GA1", 0x2828, 12, 2, 44, 0x08000000),
    Model::row("z13",     "IBM z13 GA1",              0x2964, 13, 1, 47, 0x08000000),
    Model::row("z13.2",   "IBM z13 GA2",              0x2964, 13, 2, 47, 0x08000000),
    Model::row("z13s",    "IBM z13s GA1",             0x2965, 13, 2, 47, 0x08000000),
    Model::row("z14",     "IBM z14 GA1",              0x3906, 14, 1, 47, 0x08000000),
    Model::row("z14.2",   "IBM z14 GA2",              0x3906, 14, 2, 47, 0x08000000),
    Model::row("z14ZR1",  "IBM z14 Model ZR1 GA1",    0x3907, 14, 1, 47, 0x08000000),
    Model::row("gen15a",  "IBM z15 T01 GA1",          0x8561, 15, 1, 47, 0x08000000),
    Model::row("gen15b",  "IBM z15 T02 GA1",          0x8562, 15, 1, 47, 0x08000000),
    Model::row("gen16a",  "IBM 3931 GA1",             0x3931, 16, 1, 47, 0x08000000),
    Model::row("gen16b",  "IBM 3932 GA1",             0x3932, 16, 1, 47, 0x08000000),
    Model::row("gen17a",  "IBM 9175 GA1",             0x9175, 17, 1, 47, 0x08000000),
    Model::row("gen17b",  "IBM 9176 GA1",             0x9176, 17, 1, 47, 0x08000000),
];

/// Release by release, oldest first, each adding to the one before it. What comes with `base` is in a static
/// `-base` model, in the default and in the full set; `default` is on top for the plain name; `full` can be
/// switched on. What is `dropped` leaves base and default and can still be switched on.
#[rustfmt::skip]
pub(super) const RELEASES: [Release; 25] = [
    // z900
    Release::of(7, 1)
        .base(&[G::Plo], &[Esan3, Zarch])
        .full(&[], &[Ppa15, Bpb, Sief2, Skey, Gpereh, Ib, Cei]),
    // z900.2
    Release::of(7, 2)
        .full(&[], &[Etf2]),
    // z900.3
    Release::of(7, 3)
        .full(&[], &[Ldisp, Siif]),
    // z990
    Release::of(8, 1)
        .base(&[G::Msa], &[Dateh, Etf2, Ldisp, Ldisphp, Hfpm])
        .full(&[], &[Gsls, Bscao64]),
    // z990.2
    Release::of(8, 2),
    // z990.3
    Release::of(8, 3)
        .full(&[], &[Asnlxr, Etf3]),
    // z990.4
    Release::of(8, 4),
    // z990.5
    Release::of(8, 5),
    // z9EC
    Release::of(9, 1)
        .base(&[G::Tods], &[
            Idtes, Asnlxr, Stfle, Srs, Eimm, Etf3, Hfpue, Etf2eh, Stckf, Etf3eh, Dateh2,
        ])
        .default(&[G::Msa1], &[Sthyi, Cmm])
        .full(&[], &[Cmma]),
    // z9EC.2
    Release::of(9, 2)
        .full(&[], &[Mvcos, Ectg, Csst, Fpseh, Dfp]),
    // z9EC.3
    Release::of(9, 3)
        .full(&[], &[Csske, Pfpo]),
    // z10EC
    Release::of(10, 1)
        .base(&[], &[
            Csske, Parseh, Mvcos, Ectg, Csst, Csst2, Ginste, Exrl, Fpseh, Dfp, Dfphp, Pfpo,
        ])
        .default(&[G::Msa2], &[Edat])
        .full(&[], &[Ctop, Esop, Pfmfi, Sigpif]),
    // z10EC.2
    Release::of(10, 2)
        .full(&[], &[Sprogp, Ibs]),
    // z10EC.3
    Release::of(10, 3)
        .full(&[G::Msa3], &[]),
    // z196
    Release::of(11, 1)
        .base(&[], &[Nonqks, Emon, Fpe, Sprogp, Stfle45, Cmpsceh, Iacc2])
        .default(&[G::Msa3, G::Msa4], &[Ipter, Aefsi, Ppa15, Bpb]),
    // z196.2
    Release::of(11, 2),
    // zEC12
    Release::of(12, 1)
        .base(&[], &[Dfpzc, Stfle49, Ltlbc])
        .default(&[], &[Cte, Ri, Zpci, Aen, Te, Edat2, SeaEsop2, Esop])
        .full(&[], &[Apqci, Apft, Apqi, Ais, Els, Diag318, Ap]),
    // zEC12.2
    Release::of(12, 2)
        .full(&[G::Msa5], &[]),
    // z13
    Release::of(13, 1)
        .base(&[G::Gen13ptff], &[Stfle53, Dfppc])
        .default(&[G::Msa5], &[Vx]),
    // z13.2
    Release::of(13, 2),
    // z14
    Release::of(14, 1)
        .base(&[], &[Opc, Eec, Minste2, Sema, Tsi])
        .default(&[G::Msa6, G::Msa7, G::Msa8, G::Mepochptff], &[Iep, Gs, Vxpd, Vxeh, Mepoch])
        .full(&[], &[Tpei, Irbm, Cmmnt, Etoken, Hpma2, Kss]),
    // z14.2
    Release::of(14, 2),
    // gen15a
    Release::of(15, 1)
        .base(&[], &[Minste3])
        .default(&[G::Msa9, G::Msa9Pckmo, G::Deflate], &[Vxeh2, Vxpdeh, Etoken])
        .full(&[G::Esort], &[Unpack])
        .dropped(&[Csske, Bpb]),
    // gen16a
    Release::of(16, 1)
        .default(&[], &[Nnpa, Vxpdeh2, Beareh, Rdp, Pai, Paie])
        .full(&[], &[Astfleie2, Appv, Appvi]),
    // gen17a
    Release::of(17, 1)
        .base(&[G::PloExt, G::Msa12], &[Minste4, Sif])
        .default(&[G::Msa10, G::Msa10Pckmo, G::Msa11, G::Msa11Pckmo, G::Msa13, G::Msa13Pckmo], &[
            Vxeh3, Vxpdeh3,
        ])
        .full(&[G::Gen17ptff, G::Ccf], &[IneffNcTx]),
];
