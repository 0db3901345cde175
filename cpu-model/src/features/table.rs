//! The features, one row each: constant, name, where its bit lives, what it is.
//!
//! Names and bits are QEMU's `target/s390x/cpu_features_def.h.inc` (11.1), with QEMU's order, because that is
//! the order in which an expansion lists them; the bits of each block ascend. `kmac-hmac-sha-246` and
//! `kmac-hmac-esha-246` are the names users see there for the SHA-256 function codes.

use super::Home::{ConfChar, ConfCharExt, CpuEntry, Fac134, Fac139, Facility, Function, NoBit, Ultravisor};
use super::Instruction::{
    Dfltcc, Kdsa, Kimd, Klmd, Km, Kma, Kmac, Kmc, Kmctr, Kmf, Kmo, Pcc, Pckmo, Pfcr, Plo, Ppno, Ptff, Sortl,
};

#[rustfmt::skip]
features! {
    // Facility bits, as STORE FACILITY LIST EXTENDED shows them.
    Esan3                  "esan3",                     Facility(0),           "n3-marked instructions of ESA/390 present when in z mode";
    Zarch                  "zarch",                     Facility(1),           "z/Architecture mode is installed";
    Dateh                  "dateh",                     Facility(3),           "DAT enhancement 1 (IDTE, CSPG ...)";
    Idtes                  "idtes",                     Facility(4),           "IDTE can clear selectively by segment table";
    Idter                  "idter",                     Facility(5),           "IDTE can clear selectively by region table (no QEMU model allows it)";
    Asnlxr                 "asnlxr",                    Facility(6),           "ASN and LX reuse";
    Stfle                  "stfle",                     Facility(7),           "STFLE instruction is installed";
    Edat                   "edat",                      Facility(8),           "1M large pages and friends (EDAT-1)";
    Srs                    "srs",                       Facility(9),           "SIGP sense-running-status order";
    Csske                  "csske",                     Facility(10),          "conditional set-storage-key-extended (deprecated by QEMU)";
    Ctop                   "ctop",                      Facility(11),          "CPU topology reporting (PTF, STSI 15.1.x)";
    Apqci                  "apqci",                     Facility(12),          "PQAP function QCI (query AP configuration) can be used; guest AP bus uses it to learn masks and domains above 15";
    Ipter                  "ipter",                     Facility(13),          "IPTE may invalidate a range of entries";
    Nonqks                 "nonqks",                    Facility(14),          "key setting without quiescing";
    Apft                   "apft",                      Facility(15),          "PQAP function TAPQ with the T bit (AP facilities test); Linux needs it to recognise CEX4 and later";
    Etf2                   "etf2",                      Facility(16),          "extended translation 2";
    MsaBase                "msa-base",                  Facility(17),          "base bit of message-security-assist, without the function codes";
    Ldisp                  "ldisp",                     Facility(18),          "long displacement";
    Ldisphp                "ldisphp",                   Facility(19),          "long displacement is fast";
    Hfpm                   "hfpm",                      Facility(20),          "HFP multiply-and-add/subtract";
    Eimm                   "eimm",                      Facility(21),          "extended immediate instructions";
    Etf3                   "etf3",                      Facility(22),          "extended translation 3";
    Hfpue                  "hfpue",                     Facility(23),          "HFP unnormalised extension";
    Etf2eh                 "etf2eh",                    Facility(24),          "extended translation 2 enhancement";
    Stckf                  "stckf",                     Facility(25),          "STORE CLOCK FAST";
    Parseh                 "parseh",                    Facility(26),          "parsing enhancement";
    Mvcos                  "mvcos",                     Facility(27),          "MOVE WITH OPTIONAL SPECIFICATIONS";
    TodsBase               "tods-base",                 Facility(28),          "TOD steering base bit, without PTFF codes";
    Etf3eh                 "etf3eh",                    Facility(30),          "extended translation 3 enhancement";
    Ectg                   "ectg",                      Facility(31),          "EXTRACT CPU TIME";
    Csst                   "csst",                      Facility(32),          "COMPARE AND SWAP AND STORE";
    Csst2                  "csst2",                     Facility(33),          "COMPARE AND SWAP AND STORE 2";
    Ginste                 "ginste",                    Facility(34),          "general instructions extension (z10)";
    Exrl                   "exrl",                      Facility(35),          "EXECUTE RELATIVE LONG";
    Emon                   "emon",                      Facility(36),          "enhanced monitor";
    Fpe                    "fpe",                       Facility(37),          "floating-point extension";
    Opc                    "opc",                       Facility(38),          "order preserving compression";
    Sprogp                 "sprogp",                    Facility(40),          "load/set program parameters";
    Fpseh                  "fpseh",                     Facility(41),          "floating-point support enhancements";
    Dfp                    "dfp",                       Facility(42),          "decimal floating point";
    Dfphp                  "dfphp",                     Facility(43),          "decimal floating point is fast";
    Pfpo                   "pfpo",                      Facility(44),          "PERFORM FLOATING-POINT OPERATION";
    Stfle45                "stfle45",                   Facility(45),          "z196 bundle (distinct operands, fast BCR serialization, high word, interlocked access 1, load/store on condition, population count)";
    Cmpsceh                "cmpsceh",                   Facility(47),          "compression call enhancement";
    Dfpzc                  "dfpzc",                     Facility(48),          "DFP to/from zoned conversion";
    Stfle49                "stfle49",                   Facility(49),          "zEC12 bundle (execution hint, load-and-trap, misc. instruction ext. 1, processor assist)";
    Cte                    "cte",                       Facility(50),          "constrained transactions (deprecated)";
    Ltlbc                  "ltlbc",                     Facility(51),          "local TLB clearing";
    Iacc2                  "iacc2",                     Facility(52),          "interlocked access 2";
    Stfle53                "stfle53",                   Facility(53),          "z13 bundle (load-store-on-condition 2, load-and-zero-rightmost-byte)";
    Eec                    "eec",                       Facility(54),          "entropy encoding for compression";
    Msa5Base               "msa5-base",                 Facility(57),          "base bit of MSA 5 (PPNO/PRNO), without the function codes";
    Minste2                "minste2",                   Facility(58),          "miscellaneous instruction extensions 2";
    Sema                   "sema",                      Facility(59),          "semaphore assist";
    Tsi                    "tsi",                       Facility(60),          "time slice instrumentation";
    Minste3                "minste3",                   Facility(61),          "miscellaneous instruction extensions 3";
    Ri                     "ri",                        Facility(64),          "runtime instrumentation";
    Apqi                   "apqi",                      Facility(65),          "PQAP function AQIC (AP queue interruption control); lets a guest switch AP queue interrupts on";
    Zpci                   "zpci",                      Facility(69),          "z/PCI instructions";
    Aen                    "aen",                       Facility(71),          "adapter event notification";
    Ais                    "ais",                       Facility(72),          "adapter interruption suppression";
    Te                     "te",                        Facility(73),          "transactional execution (deprecated)";
    Sthyi                  "sthyi",                     Facility(74),          "store hypervisor information";
    Aefsi                  "aefsi",                     Facility(75),          "fetch/store indication on access exceptions";
    Msa3Base               "msa3-base",                 Facility(76),          "base bit of MSA 3 (protected keys, PCKMO), without function codes";
    Msa4Base               "msa4-base",                 Facility(77),          "base bit of MSA 4 (KMF, KMCTR, KMO, PCC), without function codes";
    Edat2                  "edat2",                     Facility(78),          "2G large pages (EDAT-2)";
    Dfppc                  "dfppc",                     Facility(80),          "DFP to/from packed conversion";
    Ppa15                  "ppa15",                     Facility(81),          "PPA function 15";
    Bpb                    "bpb",                       Facility(82),          "branch prediction blocking (deprecated)";
    Minste4                "minste4",                   Facility(84),          "miscellaneous instruction extensions 4";
    Sif                    "sif",                       Facility(85),          "sequential instruction fetching";
    Msa12Base              "msa12-base",                Facility(86),          "base bit of MSA 12";
    PloExt                 "plo-ext",                   Facility(87),          "extended set of PLO function codes";
    Vx                     "vx",                        Facility(129),         "vector registers and instructions";
    Iep                    "iep",                       Facility(130),         "no-execute page protection";
    SeaEsop2               "sea_esop2",                 Facility(131),         "side-effect access + enhanced suppression on protection 2";
    Gs                     "gs",                        Facility(133),         "guarded storage";
    Vxpd                   "vxpd",                      Facility(134),         "vector packed decimal";
    Vxeh                   "vxeh",                      Facility(135),         "vector enhancements 1";
    Mepoch                 "mepoch",                    Facility(139),         "multiple epoch (TOD extension)";
    Els                    "els",                       Facility(140),         "extended-length SCCB for read-SCP/CPU-info (done wholly in user space)";
    Tpei                   "tpei",                      Facility(144),         "test pending external interruption";
    Irbm                   "irbm",                      Facility(145),         "insert reference bits multiple";
    Msa8Base               "msa8-base",                 Facility(146),         "base bit of MSA 8 (KMA), without function codes";
    Cmmnt                  "cmmnt",                     Facility(147),         "ESSA no-translate";
    Vxeh2                  "vxeh2",                     Facility(148),         "vector enhancements 2";
    EsortBase              "esort-base",                Facility(150),         "base bit of SORT LISTS";
    DeflateBase            "deflate-base",              Facility(151),         "base bit of DFLTCC";
    Vxpdeh                 "vxpdeh",                    Facility(152),         "vector packed decimal enhancement 1";
    Msa9Base               "msa9-base",                 Facility(155),         "base bit of MSA 9 (KDSA), without function codes";
    Etoken                 "etoken",                    Facility(156),         "etoken (retpoline-free branch mitigation token)";
    Unpack                 "unpack",                    Facility(161),         "secure-execution (protected virtualisation) IPL unpack";
    Nnpa                   "nnpa",                      Facility(165),         "neural network processing assist";
    IneffNcTx              "ineff_nc_tx",               Facility(170),         "non-constrained transactions always abort";
    Vxpdeh2                "vxpdeh2",                   Facility(192),         "vector packed decimal enhancement 2";
    Beareh                 "beareh",                    Facility(193),         "BEAR load/store";
    Rdp                    "rdp",                       Facility(194),         "reset DAT protection";
    Pai                    "pai",                       Facility(196),         "processor activity counters, crypto set";
    Paie                   "paie",                      Facility(197),         "processor activity counters, NNPA set";
    Vxeh3                  "vxeh3",                     Facility(198),         "vector enhancements 3";
    Vxpdeh3                "vxpdeh3",                   Facility(199),         "vector packed decimal enhancement 3";
    CcfBase                "ccf-base",                  Facility(201),         "base bit of concurrent functions (PFCR, CAL...)";

    // SCLP Read SCP Info, bytes 80-98.
    Gsls                   "gsls",                      ConfChar(40),          "nested: guest storage limit suppression";
    Esop                   "esop",                      ConfChar(46),          "enhanced suppression on protection";
    Hpma2                  "hpma2",                     ConfChar(90),          "host page management assist 2";
    Kss                    "kss",                       ConfChar(151),         "nested: keyless subset";

    // SCLP Read SCP Info, bytes 116-119.
    Bscao64                "64bscao",                   ConfCharExt(0),        "nested: 64-bit SCA origin";
    Cmma                   "cmma",                      ConfCharExt(1),        "nested: collaborative memory management interpretation";
    Pfmfi                  "pfmfi",                     ConfCharExt(9),        "nested: PFMF interpretation";
    Ibs                    "ibs",                       ConfCharExt(10),       "nested: interlock-and-broadcast suppression";

    // SCLP Read SCP Info, byte 134.
    Diag318                "diag318",                   Fac134(0),             "DIAGNOSE 0x318 (guest tells its control program code)";

    // SCLP Read SCP Info, byte 139.
    Astfleie2              "astfleie2",                 Fac139(1),             "nested: alternate STFLE interpretation, format 2 (QEMU 11.1+; in no default set)";

    // SCLP CPU entries, the six feature bytes.
    Sief2                  "sief2",                     CpuEntry(4),           "nested: SIE state format 2 (virtual SIE)";
    Skey                   "skey",                      CpuEntry(5),           "nested: storage key facility";
    Gpereh                 "gpereh",                    CpuEntry(10),          "nested: guest PER enhancement";
    Siif                   "siif",                      CpuEntry(11),          "nested: shared IPTE interlock";
    Sigpif                 "sigpif",                    CpuEntry(12),          "nested: SIGP interpretation";
    Ib                     "ib",                        CpuEntry(42),          "nested: intervention bypass";
    Cei                    "cei",                       CpuEntry(43),          "nested: conditional external interception";

    // No bit of their own.
    Dateh2                 "dateh2",                    NoBit,                 "DAT enhancement 2 (no bit of its own; assumed when stfle is there)";
    Cmm                    "cmm",                       NoBit,                 "ESSA collaborative memory management for the guest (KVM attribute, no bit)";
    Ap                     "ap",                        NoBit,                 "AP instructions are interpreted (no facility bit; KVM crypto attribute ENABLE_APIE)";

    // PLO: function codes as its query or test form shows them.
    PloCl                  "plo-cl",                    Function(Plo, 0),      "PLO compare+load, 32-bit operands";
    PloClg                 "plo-clg",                   Function(Plo, 1),      "PLO compare+load, 64-bit, parameter list";
    PloClgr                "plo-clgr",                  Function(Plo, 2),      "PLO compare+load, 64-bit, registers";
    PloClx                 "plo-clx",                   Function(Plo, 3),      "PLO compare+load, 128-bit";
    PloCs                  "plo-cs",                    Function(Plo, 4),      "PLO compare+swap, 32-bit operands";
    PloCsg                 "plo-csg",                   Function(Plo, 5),      "PLO compare+swap, 64-bit, parameter list";
    PloCsgr                "plo-csgr",                  Function(Plo, 6),      "PLO compare+swap, 64-bit, registers";
    PloCsx                 "plo-csx",                   Function(Plo, 7),      "PLO compare+swap, 128-bit";
    PloDcs                 "plo-dcs",                   Function(Plo, 8),      "PLO double compare+swap, 32-bit operands";
    PloDcsg                "plo-dcsg",                  Function(Plo, 9),      "PLO double compare+swap, 64-bit, parameter list";
    PloDcsgr               "plo-dcsgr",                 Function(Plo, 10),     "PLO double compare+swap, 64-bit, registers";
    PloDcsx                "plo-dcsx",                  Function(Plo, 11),     "PLO double compare+swap, 128-bit";
    PloCsst                "plo-csst",                  Function(Plo, 12),     "PLO compare+swap+store, 32-bit operands";
    PloCsstg               "plo-csstg",                 Function(Plo, 13),     "PLO compare+swap+store, 64-bit, parameter list";
    PloCsstgr              "plo-csstgr",                Function(Plo, 14),     "PLO compare+swap+store, 64-bit, registers";
    PloCsstx               "plo-csstx",                 Function(Plo, 15),     "PLO compare+swap+store, 128-bit";
    PloCsdst               "plo-csdst",                 Function(Plo, 16),     "PLO compare+swap+2 stores, 32-bit operands";
    PloCsdstg              "plo-csdstg",                Function(Plo, 17),     "PLO compare+swap+2 stores, 64-bit, parameter list";
    PloCsdstgr             "plo-csdstgr",               Function(Plo, 18),     "PLO compare+swap+2 stores, 64-bit, registers";
    PloCsdstx              "plo-csdstx",                Function(Plo, 19),     "PLO compare+swap+2 stores, 128-bit";
    PloCstst               "plo-cstst",                 Function(Plo, 20),     "PLO compare+swap+3 stores, 32-bit operands";
    PloCststg              "plo-cststg",                Function(Plo, 21),     "PLO compare+swap+3 stores, 64-bit, parameter list";
    PloCststgr             "plo-cststgr",               Function(Plo, 22),     "PLO compare+swap+3 stores, 64-bit, registers";
    PloCststx              "plo-cststx",                Function(Plo, 23),     "PLO compare+swap+3 stores, 128-bit";
    PloClo                 "plo-clo",                   Function(Plo, 24),     "PLO compare+load, 256-bit";
    PloCso                 "plo-cso",                   Function(Plo, 25),     "PLO compare+swap, 256-bit";
    PloDcso                "plo-dcso",                  Function(Plo, 26),     "PLO double compare+swap, 256-bit";
    PloCssto               "plo-cssto",                 Function(Plo, 27),     "PLO compare+swap+store, 256-bit";
    PloCsdsto              "plo-csdsto",                Function(Plo, 28),     "PLO compare+swap+2 stores, 256-bit";
    PloCststo              "plo-cststo",                Function(Plo, 29),     "PLO compare+swap+3 stores, 256-bit";
    PloTcs                 "plo-tcs",                   Function(Plo, 30),     "PLO triple compare+swap, 32-bit operands";
    PloTcsg                "plo-tcsg",                  Function(Plo, 31),     "PLO triple compare+swap, 64-bit, parameter list";
    PloTcsx                "plo-tcsx",                  Function(Plo, 32),     "PLO triple compare+swap, 128-bit";
    PloTcso                "plo-tcso",                  Function(Plo, 33),     "PLO triple compare+swap, 256-bit";
    PloQcs                 "plo-qcs",                   Function(Plo, 34),     "PLO quadruple compare+swap, 32-bit operands";
    PloQcsg                "plo-qcsg",                  Function(Plo, 35),     "PLO quadruple compare+swap, 64-bit, parameter list";
    PloQcsx                "plo-qcsx",                  Function(Plo, 36),     "PLO quadruple compare+swap, 128-bit";
    PloQcso                "plo-qcso",                  Function(Plo, 37),     "PLO quadruple compare+swap, 256-bit";
    PloLo                  "plo-lo",                    Function(Plo, 38),     "PLO load, 256-bit";
    PloDlx                 "plo-dlx",                   Function(Plo, 39),     "PLO 2 loads, 128-bit";
    PloDlo                 "plo-dlo",                   Function(Plo, 40),     "PLO 2 loads, 256-bit";
    PloTl                  "plo-tl",                    Function(Plo, 41),     "PLO 3 loads, 32-bit operands";
    PloTlg                 "plo-tlg",                   Function(Plo, 42),     "PLO 3 loads, 64-bit, parameter list";
    PloTlx                 "plo-tlx",                   Function(Plo, 43),     "PLO 3 loads, 128-bit";
    PloTlo                 "plo-tlo",                   Function(Plo, 44),     "PLO 3 loads, 256-bit";
    PloQl                  "plo-ql",                    Function(Plo, 45),     "PLO 4 loads, 32-bit operands";
    PloQlg                 "plo-qlg",                   Function(Plo, 46),     "PLO 4 loads, 64-bit, parameter list";
    PloQlx                 "plo-qlx",                   Function(Plo, 47),     "PLO 4 loads, 128-bit";
    PloQlo                 "plo-qlo",                   Function(Plo, 48),     "PLO 4 loads, 256-bit";
    PloSto                 "plo-sto",                   Function(Plo, 49),     "PLO store, 256-bit";
    PloDst                 "plo-dst",                   Function(Plo, 50),     "PLO 2 stores, 32-bit operands";
    PloDstg                "plo-dstg",                  Function(Plo, 51),     "PLO 2 stores, 64-bit, parameter list";
    PloDstx                "plo-dstx",                  Function(Plo, 52),     "PLO 2 stores, 128-bit";
    PloDsto                "plo-dsto",                  Function(Plo, 53),     "PLO 2 stores, 256-bit";
    PloTst                 "plo-tst",                   Function(Plo, 54),     "PLO 3 stores, 32-bit operands";
    PloTstg                "plo-tstg",                  Function(Plo, 55),     "PLO 3 stores, 64-bit, parameter list";
    PloTstx                "plo-tstx",                  Function(Plo, 56),     "PLO 3 stores, 128-bit";
    PloTsto                "plo-tsto",                  Function(Plo, 57),     "PLO 3 stores, 256-bit";
    PloQst                 "plo-qst",                   Function(Plo, 58),     "PLO 4 stores, 32-bit operands";
    PloQstg                "plo-qstg",                  Function(Plo, 59),     "PLO 4 stores, 64-bit, parameter list";
    PloQstx                "plo-qstx",                  Function(Plo, 60),     "PLO 4 stores, 128-bit";
    PloQsto                "plo-qsto",                  Function(Plo, 61),     "PLO 4 stores, 256-bit";

    // PTFF: function codes as its query or test form shows them.
    PtffQto                "ptff-qto",                  Function(Ptff, 1),     "PTFF query TOD offset";
    PtffQsi                "ptff-qsi",                  Function(Ptff, 2),     "PTFF query steering info";
    PtffQpc                "ptff-qpc",                  Function(Ptff, 3),     "PTFF query physical clock";
    PtffQui                "ptff-qui",                  Function(Ptff, 4),     "PTFF query UTC info";
    PtffQtou               "ptff-qtou",                 Function(Ptff, 5),     "PTFF query user TOD offset";
    PtffQtse               "ptff-qtse",                 Function(Ptff, 6),     "PTFF query timestamp event";
    PtffQsie               "ptff-qsie",                 Function(Ptff, 10),    "PTFF extended query of steering info";
    PtffQtoue              "ptff-qtoue",                Function(Ptff, 13),    "PTFF extended query of user TOD offset";
    PtffSto                "ptff-sto",                  Function(Ptff, 65),    "PTFF set TOD offset";
    PtffStou               "ptff-stou",                 Function(Ptff, 69),    "PTFF set user TOD offset";
    PtffStoe               "ptff-stoe",                 Function(Ptff, 73),    "PTFF extended set of TOD offset";
    PtffStoue              "ptff-stoue",                Function(Ptff, 77),    "PTFF extended set of user TOD offset";

    // KMAC: function codes as its query or test form shows them.
    KmacDea                "kmac-dea",                  Function(Kmac, 1),     "KMAC (message authentication): dea, function code 1";
    KmacTdea128            "kmac-tdea-128",             Function(Kmac, 2),     "KMAC (message authentication): tdea-128, function code 2";
    KmacTdea192            "kmac-tdea-192",             Function(Kmac, 3),     "KMAC (message authentication): tdea-192, function code 3";
    KmacEdea               "kmac-edea",                 Function(Kmac, 9),     "KMAC (message authentication): protected-key DEA, function code 9";
    KmacEtdea128           "kmac-etdea-128",            Function(Kmac, 10),    "KMAC (message authentication): protected-key TDEA-128, function code 10";
    KmacEtdea192           "kmac-etdea-192",            Function(Kmac, 11),    "KMAC (message authentication): protected-key TDEA-192, function code 11";
    KmacAes128             "kmac-aes-128",              Function(Kmac, 18),    "KMAC (message authentication): aes-128, function code 18";
    KmacAes192             "kmac-aes-192",              Function(Kmac, 19),    "KMAC (message authentication): aes-192, function code 19";
    KmacAes256             "kmac-aes-256",              Function(Kmac, 20),    "KMAC (message authentication): aes-256, function code 20";
    KmacEaes128            "kmac-eaes-128",             Function(Kmac, 26),    "KMAC (message authentication): protected-key AES-128, function code 26";
    KmacEaes192            "kmac-eaes-192",             Function(Kmac, 27),    "KMAC (message authentication): protected-key AES-192, function code 27";
    KmacEaes256            "kmac-eaes-256",             Function(Kmac, 28),    "KMAC (message authentication): protected-key AES-256, function code 28";
    KmacHmacSha224         "kmac-hmac-sha-224",         Function(Kmac, 112),   "KMAC (message authentication): hmac-sha-224, function code 112";
    KmacHmacSha246         "kmac-hmac-sha-246",         Function(Kmac, 113),   "KMAC (message authentication): hmac-sha-246, function code 113";
    KmacHmacSha384         "kmac-hmac-sha-384",         Function(Kmac, 114),   "KMAC (message authentication): hmac-sha-384, function code 114";
    KmacHmacSha512         "kmac-hmac-sha-512",         Function(Kmac, 115),   "KMAC (message authentication): hmac-sha-512, function code 115";
    KmacHmacEsha224        "kmac-hmac-esha-224",        Function(Kmac, 120),   "KMAC (message authentication): hmac-esha-224, function code 120";
    KmacHmacEsha246        "kmac-hmac-esha-246",        Function(Kmac, 121),   "KMAC (message authentication): hmac-esha-246, function code 121";
    KmacHmacEsha384        "kmac-hmac-esha-384",        Function(Kmac, 122),   "KMAC (message authentication): hmac-esha-384, function code 122";
    KmacHmacEsha512        "kmac-hmac-esha-512",        Function(Kmac, 123),   "KMAC (message authentication): hmac-esha-512, function code 123";
    KmacQai                "kmac-qai",                  Function(Kmac, 127),   "KMAC (message authentication): query authentication info, function code 127";

    // KMC: function codes as its query or test form shows them.
    KmcDea                 "kmc-dea",                   Function(Kmc, 1),      "KMC (cipher, chaining mode): dea, function code 1";
    KmcTdea128             "kmc-tdea-128",              Function(Kmc, 2),      "KMC (cipher, chaining mode): tdea-128, function code 2";
    KmcTdea192             "kmc-tdea-192",              Function(Kmc, 3),      "KMC (cipher, chaining mode): tdea-192, function code 3";
    KmcEdea                "kmc-edea",                  Function(Kmc, 9),      "KMC (cipher, chaining mode): protected-key DEA, function code 9";
    KmcEtdea128            "kmc-etdea-128",             Function(Kmc, 10),     "KMC (cipher, chaining mode): protected-key TDEA-128, function code 10";
    KmcEtdea192            "kmc-etdea-192",             Function(Kmc, 11),     "KMC (cipher, chaining mode): protected-key TDEA-192, function code 11";
    KmcAes128              "kmc-aes-128",               Function(Kmc, 18),     "KMC (cipher, chaining mode): aes-128, function code 18";
    KmcAes192              "kmc-aes-192",               Function(Kmc, 19),     "KMC (cipher, chaining mode): aes-192, function code 19";
    KmcAes256              "kmc-aes-256",               Function(Kmc, 20),     "KMC (cipher, chaining mode): aes-256, function code 20";
    KmcEaes128             "kmc-eaes-128",              Function(Kmc, 26),     "KMC (cipher, chaining mode): protected-key AES-128, function code 26";
    KmcEaes192             "kmc-eaes-192",              Function(Kmc, 27),     "KMC (cipher, chaining mode): protected-key AES-192, function code 27";
    KmcEaes256             "kmc-eaes-256",              Function(Kmc, 28),     "KMC (cipher, chaining mode): protected-key AES-256, function code 28";
    KmcPrng                "kmc-prng",                  Function(Kmc, 67),     "KMC (cipher, chaining mode): prng, function code 67";

    // KM: function codes as its query or test form shows them.
    KmDea                  "km-dea",                    Function(Km, 1),       "KM (cipher, ECB/XTS): dea, function code 1";
    KmTdea128              "km-tdea-128",               Function(Km, 2),       "KM (cipher, ECB/XTS): tdea-128, function code 2";
    KmTdea192              "km-tdea-192",               Function(Km, 3),       "KM (cipher, ECB/XTS): tdea-192, function code 3";
    KmEdea                 "km-edea",                   Function(Km, 9),       "KM (cipher, ECB/XTS): protected-key DEA, function code 9";
    KmEtdea128             "km-etdea-128",              Function(Km, 10),      "KM (cipher, ECB/XTS): protected-key TDEA-128, function code 10";
    KmEtdea192             "km-etdea-192",              Function(Km, 11),      "KM (cipher, ECB/XTS): protected-key TDEA-192, function code 11";
    KmAes128               "km-aes-128",                Function(Km, 18),      "KM (cipher, ECB/XTS): aes-128, function code 18";
    KmAes192               "km-aes-192",                Function(Km, 19),      "KM (cipher, ECB/XTS): aes-192, function code 19";
    KmAes256               "km-aes-256",                Function(Km, 20),      "KM (cipher, ECB/XTS): aes-256, function code 20";
    KmEaes128              "km-eaes-128",               Function(Km, 26),      "KM (cipher, ECB/XTS): protected-key AES-128, function code 26";
    KmEaes192              "km-eaes-192",               Function(Km, 27),      "KM (cipher, ECB/XTS): protected-key AES-192, function code 27";
    KmEaes256              "km-eaes-256",               Function(Km, 28),      "KM (cipher, ECB/XTS): protected-key AES-256, function code 28";
    KmXtsAes128            "km-xts-aes-128",            Function(Km, 50),      "KM (cipher, ECB/XTS): xts-aes-128, function code 50";
    KmXtsAes256            "km-xts-aes-256",            Function(Km, 52),      "KM (cipher, ECB/XTS): xts-aes-256, function code 52";
    KmXtsEaes128           "km-xts-eaes-128",           Function(Km, 58),      "KM (cipher, ECB/XTS): xts-eaes-128, function code 58";
    KmXtsEaes256           "km-xts-eaes-256",           Function(Km, 60),      "KM (cipher, ECB/XTS): xts-eaes-256, function code 60";
    KmFullXtsAes128        "km-full-xts-aes-128",       Function(Km, 82),      "KM (cipher, ECB/XTS): full-xts-aes-128, function code 82";
    KmFullXtsAes256        "km-full-xts-aes-256",       Function(Km, 84),      "KM (cipher, ECB/XTS): full-xts-aes-256, function code 84";
    KmFullXtsEaes128       "km-full-xts-eaes-128",      Function(Km, 90),      "KM (cipher, ECB/XTS): full-xts-eaes-128, function code 90";
    KmFullXtsEaes256       "km-full-xts-eaes-256",      Function(Km, 92),      "KM (cipher, ECB/XTS): full-xts-eaes-256, function code 92";
    KmQai                  "km-qai",                    Function(Km, 127),     "KM (cipher, ECB/XTS): query authentication info, function code 127";

    // KIMD: function codes as its query or test form shows them.
    KimdSha1               "kimd-sha-1",                Function(Kimd, 1),     "KIMD (intermediate digest): sha-1, function code 1";
    KimdSha256             "kimd-sha-256",              Function(Kimd, 2),     "KIMD (intermediate digest): sha-256, function code 2";
    KimdSha512             "kimd-sha-512",              Function(Kimd, 3),     "KIMD (intermediate digest): sha-512, function code 3";
    KimdSha3224            "kimd-sha3-224",             Function(Kimd, 32),    "KIMD (intermediate digest): sha3-224, function code 32";
    KimdSha3256            "kimd-sha3-256",             Function(Kimd, 33),    "KIMD (intermediate digest): sha3-256, function code 33";
    KimdSha3384            "kimd-sha3-384",             Function(Kimd, 34),    "KIMD (intermediate digest): sha3-384, function code 34";
    KimdSha3512            "kimd-sha3-512",             Function(Kimd, 35),    "KIMD (intermediate digest): sha3-512, function code 35";
    KimdShake128           "kimd-shake-128",            Function(Kimd, 36),    "KIMD (intermediate digest): shake-128, function code 36";
    KimdShake256           "kimd-shake-256",            Function(Kimd, 37),    "KIMD (intermediate digest): shake-256, function code 37";
    KimdGhash              "kimd-ghash",                Function(Kimd, 65),    "KIMD (intermediate digest): ghash, function code 65";
    KimdQai                "kimd-qai",                  Function(Kimd, 127),   "KIMD (intermediate digest): query authentication info, function code 127";

    // KLMD: function codes as its query or test form shows them.
    KlmdSha1               "klmd-sha-1",                Function(Klmd, 1),     "KLMD (last digest): sha-1, function code 1";
    KlmdSha256             "klmd-sha-256",              Function(Klmd, 2),     "KLMD (last digest): sha-256, function code 2";
    KlmdSha512             "klmd-sha-512",              Function(Klmd, 3),     "KLMD (last digest): sha-512, function code 3";
    KlmdSha3224            "klmd-sha3-224",             Function(Klmd, 32),    "KLMD (last digest): sha3-224, function code 32";
    KlmdSha3256            "klmd-sha3-256",             Function(Klmd, 33),    "KLMD (last digest): sha3-256, function code 33";
    KlmdSha3384            "klmd-sha3-384",             Function(Klmd, 34),    "KLMD (last digest): sha3-384, function code 34";
    KlmdSha3512            "klmd-sha3-512",             Function(Klmd, 35),    "KLMD (last digest): sha3-512, function code 35";
    KlmdShake128           "klmd-shake-128",            Function(Klmd, 36),    "KLMD (last digest): shake-128, function code 36";
    KlmdShake256           "klmd-shake-256",            Function(Klmd, 37),    "KLMD (last digest): shake-256, function code 37";
    KlmdQai                "klmd-qai",                  Function(Klmd, 127),   "KLMD (last digest): query authentication info, function code 127";

    // PCKMO: function codes as its query or test form shows them.
    PckmoEdea              "pckmo-edea",                Function(Pckmo, 1),    "PCKMO (protect a clear key): protected-key DEA, function code 1";
    PckmoEtdea128          "pckmo-etdea-128",           Function(Pckmo, 2),    "PCKMO (protect a clear key): protected-key TDEA-128, function code 2";
    PckmoEtdea192          "pckmo-etdea-192",           Function(Pckmo, 3),    "PCKMO (protect a clear key): protected-key TDEA-192, function code 3";
    PckmoAes128            "pckmo-aes-128",             Function(Pckmo, 18),   "PCKMO (protect a clear key): aes-128, function code 18";
    PckmoAes192            "pckmo-aes-192",             Function(Pckmo, 19),   "PCKMO (protect a clear key): aes-192, function code 19";
    PckmoAes256            "pckmo-aes-256",             Function(Pckmo, 20),   "PCKMO (protect a clear key): aes-256, function code 20";
    PckmoAesXts128Dk       "pckmo-aes-xts-128-dk",      Function(Pckmo, 21),   "PCKMO (protect a clear key): aes-xts-128-dk, function code 21";
    PckmoAesXts256Dk       "pckmo-aes-xts-256-dk",      Function(Pckmo, 22),   "PCKMO (protect a clear key): aes-xts-256-dk, function code 22";
    PckmoEccP256           "pckmo-ecc-p256",            Function(Pckmo, 32),   "PCKMO (protect a clear key): ecc-p256, function code 32";
    PckmoEccP384           "pckmo-ecc-p384",            Function(Pckmo, 33),   "PCKMO (protect a clear key): ecc-p384, function code 33";
    PckmoEccP521           "pckmo-ecc-p521",            Function(Pckmo, 34),   "PCKMO (protect a clear key): ecc-p521, function code 34";
    PckmoEccEd25519        "pckmo-ecc-ed25519",         Function(Pckmo, 40),   "PCKMO (protect a clear key): ecc-ed25519, function code 40";
    PckmoEccEd448          "pckmo-ecc-ed448",           Function(Pckmo, 41),   "PCKMO (protect a clear key): ecc-ed448, function code 41";
    PckmoHmac512           "pckmo-hmac-512",            Function(Pckmo, 118),  "PCKMO (protect a clear key): hmac-512, function code 118";
    PckmoHmac1024          "pckmo-hmac-1024",           Function(Pckmo, 122),  "PCKMO (protect a clear key): hmac-1024, function code 122";
    PckmoQai               "pckmo-qai",                 Function(Pckmo, 127),  "PCKMO (protect a clear key): query authentication info, function code 127";

    // KMCTR: function codes as its query or test form shows them.
    KmctrDea               "kmctr-dea",                 Function(Kmctr, 1),    "KMCTR (cipher, counter mode): dea, function code 1";
    KmctrTdea128           "kmctr-tdea-128",            Function(Kmctr, 2),    "KMCTR (cipher, counter mode): tdea-128, function code 2";
    KmctrTdea192           "kmctr-tdea-192",            Function(Kmctr, 3),    "KMCTR (cipher, counter mode): tdea-192, function code 3";
    KmctrEdea              "kmctr-edea",                Function(Kmctr, 9),    "KMCTR (cipher, counter mode): protected-key DEA, function code 9";
    KmctrEtdea128          "kmctr-etdea-128",           Function(Kmctr, 10),   "KMCTR (cipher, counter mode): protected-key TDEA-128, function code 10";
    KmctrEtdea192          "kmctr-etdea-192",           Function(Kmctr, 11),   "KMCTR (cipher, counter mode): protected-key TDEA-192, function code 11";
    KmctrAes128            "kmctr-aes-128",             Function(Kmctr, 18),   "KMCTR (cipher, counter mode): aes-128, function code 18";
    KmctrAes192            "kmctr-aes-192",             Function(Kmctr, 19),   "KMCTR (cipher, counter mode): aes-192, function code 19";
    KmctrAes256            "kmctr-aes-256",             Function(Kmctr, 20),   "KMCTR (cipher, counter mode): aes-256, function code 20";
    KmctrEaes128           "kmctr-eaes-128",            Function(Kmctr, 26),   "KMCTR (cipher, counter mode): protected-key AES-128, function code 26";
    KmctrEaes192           "kmctr-eaes-192",            Function(Kmctr, 27),   "KMCTR (cipher, counter mode): protected-key AES-192, function code 27";
    KmctrEaes256           "kmctr-eaes-256",            Function(Kmctr, 28),   "KMCTR (cipher, counter mode): protected-key AES-256, function code 28";
    KmctrQai               "kmctr-qai",                 Function(Kmctr, 127),  "KMCTR (cipher, counter mode): query authentication info, function code 127";

    // KMF: function codes as its query or test form shows them.
    KmfDea                 "kmf-dea",                   Function(Kmf, 1),      "KMF (cipher, feedback mode): dea, function code 1";
    KmfTdea128             "kmf-tdea-128",              Function(Kmf, 2),      "KMF (cipher, feedback mode): tdea-128, function code 2";
    KmfTdea192             "kmf-tdea-192",              Function(Kmf, 3),      "KMF (cipher, feedback mode): tdea-192, function code 3";
    KmfEdea                "kmf-edea",                  Function(Kmf, 9),      "KMF (cipher, feedback mode): protected-key DEA, function code 9";
    KmfEtdea128            "kmf-etdea-128",             Function(Kmf, 10),     "KMF (cipher, feedback mode): protected-key TDEA-128, function code 10";
    KmfEtdea192            "kmf-etdea-192",             Function(Kmf, 11),     "KMF (cipher, feedback mode): protected-key TDEA-192, function code 11";
    KmfAes128              "kmf-aes-128",               Function(Kmf, 18),     "KMF (cipher, feedback mode): aes-128, function code 18";
    KmfAes192              "kmf-aes-192",               Function(Kmf, 19),     "KMF (cipher, feedback mode): aes-192, function code 19";
    KmfAes256              "kmf-aes-256",               Function(Kmf, 20),     "KMF (cipher, feedback mode): aes-256, function code 20";
    KmfEaes128             "kmf-eaes-128",              Function(Kmf, 26),     "KMF (cipher, feedback mode): protected-key AES-128, function code 26";
    KmfEaes192             "kmf-eaes-192",              Function(Kmf, 27),     "KMF (cipher, feedback mode): protected-key AES-192, function code 27";
    KmfEaes256             "kmf-eaes-256",              Function(Kmf, 28),     "KMF (cipher, feedback mode): protected-key AES-256, function code 28";
    KmfQai                 "kmf-qai",                   Function(Kmf, 127),    "KMF (cipher, feedback mode): query authentication info, function code 127";

    // KMO: function codes as its query or test form shows them.
    KmoDea                 "kmo-dea",                   Function(Kmo, 1),      "KMO (cipher, output feedback): dea, function code 1";
    KmoTdea128             "kmo-tdea-128",              Function(Kmo, 2),      "KMO (cipher, output feedback): tdea-128, function code 2";
    KmoTdea192             "kmo-tdea-192",              Function(Kmo, 3),      "KMO (cipher, output feedback): tdea-192, function code 3";
    KmoEdea                "kmo-edea",                  Function(Kmo, 9),      "KMO (cipher, output feedback): protected-key DEA, function code 9";
    KmoEtdea128            "kmo-etdea-128",             Function(Kmo, 10),     "KMO (cipher, output feedback): protected-key TDEA-128, function code 10";
    KmoEtdea192            "kmo-etdea-192",             Function(Kmo, 11),     "KMO (cipher, output feedback): protected-key TDEA-192, function code 11";
    KmoAes128              "kmo-aes-128",               Function(Kmo, 18),     "KMO (cipher, output feedback): aes-128, function code 18";
    KmoAes192              "kmo-aes-192",               Function(Kmo, 19),     "KMO (cipher, output feedback): aes-192, function code 19";
    KmoAes256              "kmo-aes-256",               Function(Kmo, 20),     "KMO (cipher, output feedback): aes-256, function code 20";
    KmoEaes128             "kmo-eaes-128",              Function(Kmo, 26),     "KMO (cipher, output feedback): protected-key AES-128, function code 26";
    KmoEaes192             "kmo-eaes-192",              Function(Kmo, 27),     "KMO (cipher, output feedback): protected-key AES-192, function code 27";
    KmoEaes256             "kmo-eaes-256",              Function(Kmo, 28),     "KMO (cipher, output feedback): protected-key AES-256, function code 28";
    KmoQai                 "kmo-qai",                   Function(Kmo, 127),    "KMO (cipher, output feedback): query authentication info, function code 127";

    // PCC: function codes as its query or test form shows them.
    PccCmacDea             "pcc-cmac-dea",              Function(Pcc, 1),      "PCC (compute crypto value): cmac-dea, function code 1";
    PccCmacTdea128         "pcc-cmac-tdea-128",         Function(Pcc, 2),      "PCC (compute crypto value): cmac-tdea-128, function code 2";
    PccCmacTdea192         "pcc-cmac-tdea-192",         Function(Pcc, 3),      "PCC (compute crypto value): cmac-tdea-192, function code 3";
    PccCmacEdea            "pcc-cmac-edea",             Function(Pcc, 9),      "PCC (compute crypto value): cmac-edea, function code 9";
    PccCmacEtdea128        "pcc-cmac-etdea-128",        Function(Pcc, 10),     "PCC (compute crypto value): cmac-etdea-128, function code 10";
    PccCmacEtdea192        "pcc-cmac-etdea-192",        Function(Pcc, 11),     "PCC (compute crypto value): cmac-etdea-192, function code 11";
    PccCmacAes128          "pcc-cmac-aes-128",          Function(Pcc, 18),     "PCC (compute crypto value): cmac-aes-128, function code 18";
    PccCmacAes192          "pcc-cmac-aes-192",          Function(Pcc, 19),     "PCC (compute crypto value): cmac-aes-192, function code 19";
    PccCmacAes256          "pcc-cmac-aes-256",          Function(Pcc, 20),     "PCC (compute crypto value): cmac-aes-256, function code 20";
    PccCmacEaes128         "pcc-cmac-eaes-128",         Function(Pcc, 26),     "PCC (compute crypto value): cmac-eaes-128, function code 26";
    PccCmacEaes192         "pcc-cmac-eaes-192",         Function(Pcc, 27),     "PCC (compute crypto value): cmac-eaes-192, function code 27";
    PccCmacEaes256         "pcc-cmac-eaes-256",         Function(Pcc, 28),     "PCC (compute crypto value): cmac-eaes-256, function code 28";
    PccXtsAes128           "pcc-xts-aes-128",           Function(Pcc, 50),     "PCC (compute crypto value): xts-aes-128, function code 50";
    PccXtsAes256           "pcc-xts-aes-256",           Function(Pcc, 52),     "PCC (compute crypto value): xts-aes-256, function code 52";
    PccXtsEaes128          "pcc-xts-eaes-128",          Function(Pcc, 58),     "PCC (compute crypto value): xts-eaes-128, function code 58";
    PccXtsEaes256          "pcc-xts-eaes-256",          Function(Pcc, 60),     "PCC (compute crypto value): xts-eaes-256, function code 60";
    PccScalarMultP256      "pcc-scalar-mult-p256",      Function(Pcc, 64),     "PCC (compute crypto value): scalar-mult-p256, function code 64";
    PccScalarMultP384      "pcc-scalar-mult-p384",      Function(Pcc, 65),     "PCC (compute crypto value): scalar-mult-p384, function code 65";
    PccScalarMultP521      "pcc-scalar-mult-p521",      Function(Pcc, 66),     "PCC (compute crypto value): scalar-mult-p521, function code 66";
    PccScalarMultEd25519   "pcc-scalar-mult-ed25519",   Function(Pcc, 72),     "PCC (compute crypto value): scalar-mult-ed25519, function code 72";
    PccScalarMultEd448     "pcc-scalar-mult-ed448",     Function(Pcc, 73),     "PCC (compute crypto value): scalar-mult-ed448, function code 73";
    PccScalarMultX25519    "pcc-scalar-mult-x25519",    Function(Pcc, 80),     "PCC (compute crypto value): scalar-mult-x25519, function code 80";
    PccScalarMultX448      "pcc-scalar-mult-x448",      Function(Pcc, 81),     "PCC (compute crypto value): scalar-mult-x448, function code 81";
    PccQai                 "pcc-qai",                   Function(Pcc, 127),    "PCC (compute crypto value): query authentication info, function code 127";

    // PPNO: function codes as its query or test form shows them.
    PpnoSha512Drng         "ppno-sha-512-drng",         Function(Ppno, 3),     "PPNO/PRNO (random numbers): sha-512-drng, function code 3";
    PrnoTrngQrtcr          "prno-trng-qrtcr",           Function(Ppno, 112),   "PPNO/PRNO (random numbers): trng-qrtcr, function code 112";
    PrnoTrng               "prno-trng",                 Function(Ppno, 114),   "PPNO/PRNO (random numbers): trng, function code 114";
    PrnoQai                "prno-qai",                  Function(Ppno, 127),   "PPNO/PRNO (random numbers): query authentication info, function code 127";

    // KMA: function codes as its query or test form shows them.
    KmaGcmAes128           "kma-gcm-aes-128",           Function(Kma, 18),     "KMA (cipher with authentication): gcm-aes-128, function code 18";
    KmaGcmAes192           "kma-gcm-aes-192",           Function(Kma, 19),     "KMA (cipher with authentication): gcm-aes-192, function code 19";
    KmaGcmAes256           "kma-gcm-aes-256",           Function(Kma, 20),     "KMA (cipher with authentication): gcm-aes-256, function code 20";
    KmaGcmEaes128          "kma-gcm-eaes-128",          Function(Kma, 26),     "KMA (cipher with authentication): gcm-eaes-128, function code 26";
    KmaGcmEaes192          "kma-gcm-eaes-192",          Function(Kma, 27),     "KMA (cipher with authentication): gcm-eaes-192, function code 27";
    KmaGcmEaes256          "kma-gcm-eaes-256",          Function(Kma, 28),     "KMA (cipher with authentication): gcm-eaes-256, function code 28";
    KmaQai                 "kma-qai",                   Function(Kma, 127),    "KMA (cipher with authentication): query authentication info, function code 127";

    // KDSA: function codes as its query or test form shows them.
    KdsaEcdsaVerifyP256    "kdsa-ecdsa-verify-p256",    Function(Kdsa, 1),     "KDSA (digital signature): ecdsa-verify-p256, function code 1";
    KdsaEcdsaVerifyP384    "kdsa-ecdsa-verify-p384",    Function(Kdsa, 2),     "KDSA (digital signature): ecdsa-verify-p384, function code 2";
    KdsaEcdsaVerifyP521    "kdsa-ecdsa-verify-p521",    Function(Kdsa, 3),     "KDSA (digital signature): ecdsa-verify-p521, function code 3";
    KdsaEcdsaSignP256      "kdsa-ecdsa-sign-p256",      Function(Kdsa, 9),     "KDSA (digital signature): ecdsa-sign-p256, function code 9";
    KdsaEcdsaSignP384      "kdsa-ecdsa-sign-p384",      Function(Kdsa, 10),    "KDSA (digital signature): ecdsa-sign-p384, function code 10";
    KdsaEcdsaSignP521      "kdsa-ecdsa-sign-p521",      Function(Kdsa, 11),    "KDSA (digital signature): ecdsa-sign-p521, function code 11";
    KdsaEecdsaSignP256     "kdsa-eecdsa-sign-p256",     Function(Kdsa, 17),    "KDSA (digital signature): eecdsa-sign-p256, function code 17";
    KdsaEecdsaSignP384     "kdsa-eecdsa-sign-p384",     Function(Kdsa, 18),    "KDSA (digital signature): eecdsa-sign-p384, function code 18";
    KdsaEecdsaSignP521     "kdsa-eecdsa-sign-p521",     Function(Kdsa, 19),    "KDSA (digital signature): eecdsa-sign-p521, function code 19";
    KdsaEddsaVerifyEd25519 "kdsa-eddsa-verify-ed25519", Function(Kdsa, 32),    "KDSA (digital signature): eddsa-verify-ed25519, function code 32";
    KdsaEddsaVerifyEd448   "kdsa-eddsa-verify-ed448",   Function(Kdsa, 36),    "KDSA (digital signature): eddsa-verify-ed448, function code 36";
    KdsaEddsaSignEd25519   "kdsa-eddsa-sign-ed25519",   Function(Kdsa, 40),    "KDSA (digital signature): eddsa-sign-ed25519, function code 40";
    KdsaEddsaSignEd448     "kdsa-eddsa-sign-ed448",     Function(Kdsa, 44),    "KDSA (digital signature): eddsa-sign-ed448, function code 44";
    KdsaEeddsaSignEd25519  "kdsa-eeddsa-sign-ed25519",  Function(Kdsa, 48),    "KDSA (digital signature): eeddsa-sign-ed25519, function code 48";
    KdsaEeddsaSignEd448    "kdsa-eeddsa-sign-ed448",    Function(Kdsa, 52),    "KDSA (digital signature): eeddsa-sign-ed448, function code 52";
    KdsaQai                "kdsa-qai",                  Function(Kdsa, 127),   "KDSA (digital signature): query authentication info, function code 127";

    // SORTL: function codes as its query or test form shows them.
    SortlSflr              "sortl-sflr",                Function(Sortl, 1),    "SORTL fixed-length records";
    SortlSvlr              "sortl-svlr",                Function(Sortl, 2),    "SORTL variable-length records";
    Sortl32                "sortl-32",                  Function(Sortl, 130),  "SORTL up to 32 input lists";
    Sortl128               "sortl-128",                 Function(Sortl, 132),  "SORTL up to 128 input lists";
    SortlF0                "sortl-f0",                  Function(Sortl, 192),  "SORTL parameter block format 0";

    // DFLTCC: function codes as its query or test form shows them.
    DfltccGdht             "dfltcc-gdht",               Function(Dfltcc, 1),   "DFLTCC generate dynamic Huffman table";
    DfltccCmpr             "dfltcc-cmpr",               Function(Dfltcc, 2),   "DFLTCC compress";
    DfltccXpnd             "dfltcc-xpnd",               Function(Dfltcc, 4),   "DFLTCC expand";
    DfltccF0               "dfltcc-f0",                 Function(Dfltcc, 192), "DFLTCC parameter block format 0";

    // Ultravisor features for secure guests.
    Appv                   "appv",                      Ultravisor(4),         "AP pass-through for secure (PV) guests";
    Appvi                  "appvi",                     Ultravisor(5),         "AP interrupts for secure (PV) guests";

    // PFCR: function codes as its query or test form shows them.
    PfcrQaf                "pfcr-qaf",                  Function(Pfcr, 0),     "PFCR query";
    PfcrCsdst              "pfcr-csdst",                Function(Pfcr, 1),     "PFCR compare-swap-double-store 32 bit";
    PfcrCsdstg             "pfcr-csdstg",               Function(Pfcr, 2),     "PFCR compare-swap-double-store 64 bit";
    PfcrCstst              "pfcr-cstst",                Function(Pfcr, 3),     "PFCR compare-swap-triple-store 32 bit";
    PfcrCststg             "pfcr-cststg",               Function(Pfcr, 4),     "PFCR compare-swap-triple-store 64 bit";
}
