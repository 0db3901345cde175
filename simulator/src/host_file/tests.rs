use super::*;
use adjunct_ap::Apqn;
use proptest::prelude::*;

fn refusal(text: &str) -> (usize, usize, String) {
    match HostFile::parse(text) {
        Err(HostFileError::Malformed { line, column, what }) => (line, column, what),
        other => panic!("{other:?}"),
    }
}

const CARD: &str = "[[ap.card]]\nid = 5\ntype = \"CEX5C\"\n";

#[test]
fn the_built_in_host_is_the_example_of_the_documentation() {
    let host = HostFile::three_guests().expect("the built-in host is right");
    assert_eq!(host.machine.name, "gen16a");
    assert_eq!(host.kernel, KernelProfile::V7_2);
    assert_eq!(host.ap.usage_domains, [4, 0x47, 0xab, 0xff].map(Into::into).into_iter().collect());
    assert_eq!(host.ap.apmask.as_deref(), Some("-5,-6"));
    let cards: Vec<String> = host.ap.cards.iter().map(|card| format!("{} {}", card.id, card.kind)).collect();
    assert_eq!(cards, ["05 CEX5C", "06 CEX5C"]);
    let queues = |n: usize| {
        let mdev = &host.mdevs[n];
        mdev.adapters.iter().flat_map(|apid| mdev.domains.iter().map(move |apqi| Apqn { apid, apqi }))
    };
    assert_eq!(
        queues(0).map(|q| q.to_string()).collect::<Vec<_>>(),
        ["05.0004", "05.00ab", "06.0004", "06.00ab"]
    );
    assert_eq!(queues(1).map(|q| q.to_string()).collect::<Vec<_>>(), ["05.0047", "05.00ff"]);
    assert_eq!(queues(2).map(|q| q.to_string()).collect::<Vec<_>>(), ["06.0047", "06.00ff"]);
    assert_eq!(host.mdevs[2].uuid.to_string(), "6c4a5d2e-0d3e-4c7a-9b0a-000000000003");
}

#[test]
fn everything_but_cards_has_a_default() {
    let host = HostFile::parse(CARD).expect("cards are enough");
    assert_eq!((host.machine.name, host.kernel), ("gen16a", KernelProfile::V7_2));
    assert_eq!((host.ap.max_adapter, host.ap.max_domain), (63, 255));
    assert_eq!(host.ap.features.map(|f| f.names().collect::<Vec<_>>()), Some(vec!["APSC", "APXA", "QACT"]));
    assert_eq!(host.ap.usage_domains.as_bytes(), host.ap.control_domains.as_bytes());
    assert_eq!((host.ap.apmask, host.mdevs.len()), (None, 0));
    let card = &host.ap.cards[0];
    assert!(card.config && card.online && !card.chkstop && card.missing_queues.is_empty());
    let bare = HostFile::bare(HostFile::MACHINE, KernelProfile::default());
    assert_eq!(HostFile::parse("").expect("a host without adapters"), bare);
}

#[test]
fn what_is_wrong_is_said_with_line_and_column() {
    let cases = [
        ("machine = \"z99\"\n", (1, 11), "machine \"z99\" is not a CPU model"),
        ("\nkernel = \"5.4\"\n", (2, 10), "kernel \"5.4\" is not known here"),
        ("colour = 1\n", (1, 1), "unknown key `colour`"),
        ("[ap]\nmax_adapter = 256\n", (2, 15), "max_adapter must be 0 to 255"),
        ("[ap]\nfeatures = [\"APSC\"]\nmax_domain = 16\n", (3, 14), "without feature APXA"),
        ("[ap]\nfeatures = [\"APSC\", \"APFOO\"]\n", (2, 21), "\"APFOO\" is not a feature of QCI"),
        (
            "[ap]\nusage_domains = [4, 0x147]\n",
            (2, 21),
            "domain 327 is beyond ap.max_domain, which is 255 (0xff)",
        ),
        ("[ap]\nusage_domains = [4, 5, 4]\n", (2, 24), "domain 4 is listed twice"),
        ("[ap]\napmask = \"5,6\"\n", (2, 10), "apmask \"5,6\" is not a mask"),
        ("[[ap.card]]\nid = 5\n", (1, 1), "missing key `type`"),
        ("[[ap.card]]\nid = 5\ntype = \"CEX9Q\"\n", (3, 8), "\"CEX9Q\" is not a card"),
        (
            "[[ap.card]]\nid = 64\ntype = \"CEX5C\"\n",
            (2, 6),
            "adapter 64 is beyond ap.max_adapter, which is 63",
        ),
        ("[[ap.card]]\nid = -1\ntype = \"CEX5C\"\n", (2, 6), "adapter -1 is beyond"),
        ("[[mdev]]\nuuid = \"123\"\n", (2, 8), "\"123\" is not a UUID"),
        (
            "[[mdev]]\nuuid = \"6c4a5d2e-0d3e-4c7a-9b0a-000000000001\"\nadapters = [0x40]\n",
            (3, 13),
            "adapter 64 is",
        ),
        ("machine = \"z16\n", (1, 15), ""),
        ("machine = 3931\n", (1, 11), "invalid type"),
        ("machine = \"z900\"\n[[ap.card]]\nid = 5\ntype = \"CEX4C\"\n", (3, 6), "has no crypto adapters"),
        ("machine = \"z900\"\n[ap]\naqmask = \"-1\"\n", (3, 10), "has no crypto adapters"),
        ("machine = \"z900\"\n[[mdev]]\nuuid = \"x\"\n", (3, 8), "has no crypto adapters"),
    ];
    for (text, place, says) in cases {
        let (line, column, what) = refusal(text);
        assert_eq!((line, column), place, "{text}: {what}");
        assert!(what.contains(says), "{text}: {what}");
        assert!(!what.contains('\n'), "{what:?}");
    }
}

#[test]
fn a_second_card_or_mdev_of_the_same_name_is_refused_where_it_stands() {
    let (line, column, what) = refusal(&CARD.repeat(2));
    assert_eq!((line, column, what.as_str()), (5, 6, "there is another card with id 5"));
    let mdev = "[[mdev]]\nuuid = \"6c4a5d2e-0d3e-4c7a-9b0a-00000000000A\"\n";
    let (line, column, what) = refusal(&(mdev.to_owned() + &mdev.to_lowercase()));
    assert_eq!((line, column), (4, 8));
    assert_eq!(what, "there is another mdev with uuid 6c4a5d2e-0d3e-4c7a-9b0a-00000000000a");
}

#[test]
fn a_queue_can_only_be_missing_for_a_usage_domain() {
    let (line, _, what) = refusal(&format!("{CARD}missing_queues = [5]\n"));
    assert_eq!(line, 4);
    assert!(what.contains("domain 5 is not in ap.usage_domains"), "{what}");
}

#[test]
fn columns_count_characters() {
    let (line, column, _) = refusal("machine = \"é\" # ü\nkernel = 'ü'\n");
    assert_eq!((line, column), (1, 11));
    let (line, column, _) = refusal("ap = { apmask = \"+1\", aqmask = \"é\" }\n");
    assert_eq!((line, column), (1, 32));
    let (line, column, _) = refusal("ap.aqmask = '+1'\nx = ['ééé', { y = 1 }]\n");
    assert_eq!((line, column), (2, 1));
}

#[test]
fn an_error_in_a_file_names_the_file_and_its_source_names_the_place() {
    let error = HostFile::read(Path::new("/nonexistent/host.toml")).expect_err("not there");
    assert_eq!(error.to_string(), "host file /nonexistent/host.toml can't be used");
    assert!(matches!(error, HostFileError::File { source, .. } if matches!(*source, HostFileError::Io(_))));
}

fn ids() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::btree_set(0_u8..=63, 0..5).prop_map(|set| set.into_iter().collect())
}

proptest! {
    #[test]
    fn any_text_is_answered(text in ".*") {
        let _ = HostFile::parse(&text);
    }

    #[test]
    fn a_damaged_host_file_is_answered(at in 0..HostFile::THREE_GUESTS.len(), with in "\\PC{0,3}") {
        let text: String = HostFile::THREE_GUESTS.chars().take(at).chain(with.chars())
            .chain(HostFile::THREE_GUESTS.chars().skip(at + 1)).collect();
        if let Err(error) = HostFile::parse(&text) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn a_host_that_is_written_reads_back(
        cards in ids(), usage in ids(), mdev in (ids(), ids(), ids()), config: bool, online: bool, chkstop: bool,
    ) {
        let mut host = HostFile::three_guests().expect("the built-in host is right");
        host.ap.usage_domains = usage.iter().copied().map(Into::into).collect();
        host.ap.cards = cards.iter().map(|id| CardEntry {
            config, online, chkstop, missing_queues: host.ap.usage_domains,
            ..CardEntry::new((*id).into(), "CEX7A".parse().expect("a type"))
        }).collect();
        host.mdevs.truncate(1);
        host.mdevs[0].adapters = mdev.0.iter().copied().map(Into::into).collect();
        host.mdevs[0].domains = mdev.1.iter().copied().map(Into::into).collect();
        host.mdevs[0].control_domains = mdev.2.iter().copied().map(Into::into).collect();
        prop_assert_eq!(HostFile::parse(&host.to_toml()).expect("what was written"), host);
    }
}

#[test]
fn a_text_may_have_16_mebibytes_and_no_more() {
    let of = |length| text(io::repeat(b' ').take(length)).map(|text| text.len());
    assert_eq!(of(16 << 20).expect("short enough"), 16 << 20);
    let long = of((16 << 20) + 1).expect_err("too long");
    assert_eq!(long.to_string(), "it is longer than 16 MiB");
    // One that never ends.
    assert!(text(io::repeat(0)).is_err());
}
