use serde::Deserialize;
use uphill_core::schedule::Schedule;

#[derive(Debug, Deserialize, serde::Serialize)]
struct Config {
    rate: Schedule,
}

#[test]
fn a_line_between_its_ends() {
    let line = Schedule::Linear { from: 2.0, to: 1.0 };
    assert_eq!(
        [0.0, 0.25, 1.0, 1.5, -1.0].map(|p| line.at(p)),
        [2.0, 1.75, 1.0, 1.0, 2.0]
    );
    assert_eq!((line.min(), line.max()), (1.0, 2.0));
    let up = Schedule::Linear { from: 3.0, to: 5.0 };
    assert_eq!((up.min(), up.max()), (3.0, 5.0));
    assert_eq!(Schedule::Constant(3.0).at(0.7), 3.0);
}

#[test]
fn it_reads_and_writes_both_forms() {
    for text in ["rate = 0.5\n", "[rate]\nfrom = 1.0\nto = 0.0\n"] {
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(toml::to_string(&config).unwrap(), text);
    }
    let whole: Config = toml::from_str("rate = 1").unwrap();
    assert_eq!(whole.rate, Schedule::Constant(1.0));
}

#[test]
fn mistakes_are_named() {
    for (text, part) in [
        (
            "rate = \"fast\"",
            "a number, or a table { from = …, to = … }",
        ),
        ("rate = { from = 1.0 }", "missing field `to`"),
        ("rate = { start = 1.0, to = 0.0 }", "unknown field `start`"),
    ] {
        let message = toml::from_str::<Config>(text).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}
