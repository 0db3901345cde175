//! The groups, one row each: constant, name, what it is, its features.
//!
//! Source: QEMU's `target/s390x/gen-features.c`, the group lists (11.1), in QEMU's order.

use super::{Feature::*, FeatureSet};

#[rustfmt::skip]
groups! {
    Plo "plo" "PERFORM LOCKED OPERATION, the first 24 function codes" [
        PloCl, PloClg, PloClgr, PloClx, PloCs, PloCsg, PloCsgr, PloCsx, PloDcs, PloDcsg, PloDcsgr, PloDcsx,
        PloCsst, PloCsstg, PloCsstgr, PloCsstx, PloCsdst, PloCsdstg, PloCsdstgr, PloCsdstx, PloCstst,
        PloCststg, PloCststgr, PloCststx,
    ];
    PloExt "plo_ext" "PERFORM LOCKED OPERATION, the extended set of function codes" [
        PloExt, PloClo, PloCso, PloDcso, PloCssto, PloCsdsto, PloCststo, PloTcs, PloTcsg, PloTcsx, PloTcso,
        PloQcs, PloQcsg, PloQcsx, PloQcso, PloLo, PloDlx, PloDlo, PloTl, PloTlg, PloTlx, PloTlo, PloQl,
        PloQlg, PloQlx, PloQlo, PloSto, PloDst, PloDstg, PloDstx, PloDsto, PloTst, PloTstg, PloTstx,
        PloTsto, PloQst, PloQstg, PloQstx, PloQsto,
    ];
    Tods "tods" "TOD clock steering" [
        TodsBase, PtffQto, PtffQsi, PtffQpc, PtffSto,
    ];
    Gen13ptff "gen13ptff" "PTFF function codes that came with z13" [
        PtffQui, PtffQtou, PtffStou,
    ];
    Gen17ptff "gen17ptff" "PTFF function codes that came with z17" [
        PtffQtse,
    ];
    Msa "msa" "message-security assist" [
        MsaBase, KmacDea, KmacTdea128, KmacTdea192, KmcDea, KmcTdea128, KmcTdea192, KmDea, KmTdea128,
        KmTdea192, KimdSha1, KlmdSha1,
    ];
    Msa1 "msa1" "message-security-assist extension 1" [
        KmcAes128, KmAes128, KimdSha256, KlmdSha256,
    ];
    Msa2 "msa2" "message-security-assist extension 2" [
        KmcAes192, KmcAes256, KmcPrng, KmAes192, KmAes256, KimdSha512, KlmdSha512,
    ];
    Msa3 "msa3" "message-security-assist extension 3" [
        Msa3Base, KmacEdea, KmacEtdea128, KmacEtdea192, KmcEdea, KmcEtdea128, KmcEtdea192, KmcEaes128,
        KmcEaes192, KmcEaes256, KmEdea, KmEtdea128, KmEtdea192, KmEaes128, KmEaes192, KmEaes256, PckmoEdea,
        PckmoEtdea128, PckmoEtdea192, PckmoAes128, PckmoAes192, PckmoAes256,
    ];
    Msa4 "msa4" "message-security-assist extension 4" [
        Msa4Base, KmacAes128, KmacAes192, KmacAes256, KmacEaes128, KmacEaes192, KmacEaes256, KmXtsAes128,
        KmXtsAes256, KmXtsEaes128, KmXtsEaes256, KimdGhash, KmctrDea, KmctrTdea128, KmctrTdea192,
        KmctrEdea, KmctrEtdea128, KmctrEtdea192, KmctrAes128, KmctrAes192, KmctrAes256, KmctrEaes128,
        KmctrEaes192, KmctrEaes256, KmfDea, KmfTdea128, KmfTdea192, KmfEdea, KmfEtdea128, KmfEtdea192,
        KmfAes128, KmfAes192, KmfAes256, KmfEaes128, KmfEaes192, KmfEaes256, KmoDea, KmoTdea128,
        KmoTdea192, KmoEdea, KmoEtdea128, KmoEtdea192, KmoAes128, KmoAes192, KmoAes256, KmoEaes128,
        KmoEaes192, KmoEaes256, PccCmacDea, PccCmacTdea128, PccCmacTdea192, PccCmacEdea, PccCmacEtdea128,
        PccCmacEtdea192, PccCmacAes128, PccCmacAes192, PccCmacAes256, PccCmacEaes128, PccCmacEaes192,
        PccCmacEaes256, PccXtsAes128, PccXtsAes256, PccXtsEaes128, PccXtsEaes256,
    ];
    Msa5 "msa5" "message-security-assist extension 5" [
        Msa5Base, PpnoSha512Drng,
    ];
    Msa6 "msa6" "message-security-assist extension 6" [
        KimdSha3224, KimdSha3256, KimdSha3384, KimdSha3512, KimdShake128, KimdShake256, KlmdSha3224,
        KlmdSha3256, KlmdSha3384, KlmdSha3512, KlmdShake128, KlmdShake256,
    ];
    Msa7 "msa7" "message-security-assist extension 7" [
        PrnoTrngQrtcr, PrnoTrng,
    ];
    Msa8 "msa8" "message-security-assist extension 8" [
        Msa8Base, KmaGcmAes128, KmaGcmAes192, KmaGcmAes256, KmaGcmEaes128, KmaGcmEaes192, KmaGcmEaes256,
    ];
    Msa9 "msa9" "message-security-assist extension 9" [
        Msa9Base, PccScalarMultP256, PccScalarMultP384, PccScalarMultP521, PccScalarMultEd25519,
        PccScalarMultEd448, PccScalarMultX25519, PccScalarMultX448, KdsaEcdsaVerifyP256,
        KdsaEcdsaVerifyP384, KdsaEcdsaVerifyP521, KdsaEcdsaSignP256, KdsaEcdsaSignP384, KdsaEcdsaSignP521,
        KdsaEecdsaSignP256, KdsaEecdsaSignP384, KdsaEecdsaSignP521, KdsaEddsaVerifyEd25519,
        KdsaEddsaVerifyEd448, KdsaEddsaSignEd25519, KdsaEddsaSignEd448, KdsaEeddsaSignEd25519,
        KdsaEeddsaSignEd448,
    ];
    Msa9Pckmo "msa9_pckmo" "PCKMO function codes of message-security-assist extension 9" [
        PckmoEccP256, PckmoEccP384, PckmoEccP521, PckmoEccEd25519, PckmoEccEd448,
    ];
    Msa10 "msa10" "message-security-assist extension 10" [
        KmFullXtsAes128, KmFullXtsAes256, KmFullXtsEaes128, KmFullXtsEaes256,
    ];
    Msa10Pckmo "msa10_pckmo" "PCKMO function codes of message-security-assist extension 10" [
        PckmoAesXts128Dk, PckmoAesXts256Dk,
    ];
    Msa11 "msa11" "message-security-assist extension 11" [
        KmacHmacSha224, KmacHmacSha246, KmacHmacSha384, KmacHmacSha512, KmacHmacEsha224, KmacHmacEsha246,
        KmacHmacEsha384, KmacHmacEsha512,
    ];
    Msa11Pckmo "msa11_pckmo" "PCKMO function codes of message-security-assist extension 11" [
        PckmoHmac512, PckmoHmac1024,
    ];
    Msa12 "msa12" "message-security-assist extension 12" [
        Msa12Base,
    ];
    Msa13 "msa13" "message-security-assist extension 13" [
        KmacQai, KmQai, KimdQai, KlmdQai, KmctrQai, KmfQai, KmoQai, PccQai, PrnoQai, KmaQai, KdsaQai,
    ];
    Msa13Pckmo "msa13_pckmo" "PCKMO function codes of message-security-assist extension 13" [
        PckmoQai,
    ];
    Mepochptff "mepochptff" "PTFF function codes of the multiple-epoch facility" [
        PtffQsie, PtffQtoue, PtffStoe, PtffStoue,
    ];
    Esort "esort" "SORT LISTS" [
        EsortBase, SortlSflr, SortlSvlr, Sortl32, Sortl128, SortlF0,
    ];
    Deflate "deflate" "DEFLATE CONVERSION CALL" [
        DeflateBase, DfltccGdht, DfltccCmpr, DfltccXpnd, DfltccF0,
    ];
    Ccf "ccf" "concurrent functions (PFCR)" [
        CcfBase, PfcrQaf, PfcrCsdst, PfcrCsdstg, PfcrCstst, PfcrCststg,
    ];
}
