//! Environments by name, and the errors of making one.

use uphill_envs::{
    BatchOptions, CartPole, EnvConfig, EnvError, HostBatch, NAMES, make, names, on_host, register,
    register_scheme, spec, steps_on_gpu,
};

use crate::tools::{Walk, device};

#[test]
fn an_unknown_name_gets_a_suggestion_and_all_names() {
    let error = make("Cartpole-v1", 1, &device()).err().unwrap();
    let message = error.to_string();
    assert!(
        message.contains("`Cartpole-v1`, did you mean `CartPole-v1`?"),
        "{message}"
    );
    assert!(NAMES.iter().all(|name| message.contains(name)), "{message}");
    // The names may have become more since: other tests register some.
    let of_spec = spec("Cartpole-v1").unwrap_err().to_string();
    let beginning = message.split("; there are").next().unwrap();
    assert!(of_spec.starts_with(beginning), "{of_spec}");
}

#[test]
fn a_name_like_no_other_gets_no_suggestion() {
    let message = spec("xyzzy").unwrap_err().to_string();
    assert!(
        message.contains("unknown environment `xyzzy`; there are: CartPole-v1"),
        "{message}"
    );
}

#[test]
fn a_name_is_an_environment_without_options() {
    let name = "CartPole-v1".to_owned();
    let expected = EnvConfig::from("CartPole-v1");
    assert_eq!(expected.to_string(), name);
    assert_eq!(EnvConfig::from(&name), expected);
    assert_eq!(EnvConfig::from(&"CartPole-v1"), expected);
    assert_eq!(EnvConfig::from(name), expected);
}

#[test]
fn a_batch_of_nothing_is_an_error() {
    assert_eq!(
        make("CartPole-v1", 0, &device()).err(),
        Some(EnvError::NoEnvs)
    );
    assert_eq!(
        HostBatch::new(CartPole, 0, &device()).err(),
        Some(EnvError::NoEnvs)
    );
}

#[test]
fn kernels_step_what_has_one_unless_the_host_is_asked_for() {
    let steps_on_gpu = |name: &str, host_steps| {
        let options = BatchOptions {
            host_steps,
            ..Default::default()
        };
        steps_on_gpu(name, options).unwrap()
    };
    // Kernels are compiled in with a GPU's feature alone.
    assert_eq!(steps_on_gpu("CartPole-v1", false), cfg!(feature = "gpu"));
    assert!(!steps_on_gpu("CartPole-v1", true));
    assert!(!steps_on_gpu("ProbeDigits-v0", false));
}

#[test]
fn a_batch_can_live_on_a_device_that_records_gradients() {
    let device = device().autodiff();
    let mut env = make("Pendulum-v1", 3, &device).unwrap();
    let obs = env.reset(0);
    let actions = obs.narrow(1, 0, 1).require_grad();
    assert_eq!(env.step(actions).obs.dims(), [3, 3]);
}

#[test]
fn a_batch_can_be_sent_to_another_thread() {
    let mut env = make("CartPole-v1", 2, &device()).unwrap();
    let dims = std::thread::spawn(move || env.reset(1).dims())
        .join()
        .unwrap();
    assert_eq!(dims, [2, 4]);
}

#[test]
fn a_program_s_own_environment_has_a_name_and_options() {
    #[derive(serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        end: f32,
        time_limit: u32,
    }
    impl Default for Options {
        fn default() -> Self {
            Self {
                end: 3.0,
                time_limit: 7,
            }
        }
    }
    register("Walk-v0", |config| {
        let options: Options = config.read()?;
        if options.end <= 0.0 {
            return Err(config.bad(format!("end is {}, must be positive", options.end)));
        }
        Ok(on_host(Walk {
            end: options.end,
            time_limit: Some(options.time_limit),
        }))
    })
    .unwrap();
    assert!(names().contains(&"Walk-v0".to_owned()));
    assert_eq!(spec("Walk-v0").unwrap().time_limit, Some(7));
    let with = |json: &str| serde_json::from_str::<EnvConfig>(json).unwrap();
    let long = with(r#"{"name":"Walk-v0","time_limit":9}"#);
    assert_eq!(spec(&long).unwrap().time_limit, Some(9));
    let mut env = make(&long, 3, &device()).unwrap();
    assert_eq!(
        (env.spec().time_limit, env.reset(1).dims()),
        (Some(9), [3, 2])
    );
    assert!(!steps_on_gpu(&long, BatchOptions::default()).unwrap());

    let error = |json| spec(with(json)).unwrap_err().to_string();
    assert_eq!(
        error(r#"{"name":"Walk-v0","limit":9}"#),
        "environment `Walk-v0`: unknown field `limit`, expected `end` or `time_limit`"
    );
    assert_eq!(
        error(r#"{"name":"Walk-v0","end":-1}"#),
        "environment `Walk-v0`: end is -1, must be positive"
    );
    assert_eq!(
        error(r#"{"name":"CartPole-v1","end":3}"#),
        "environment `CartPole-v1`: unknown option `end`; it has none"
    );
    // A name belongs to one environment.
    for taken in ["Walk-v0", "CartPole-v1", "a:b", ""] {
        let again = register(taken, |_| unreachable!("never asked for"));
        let name = taken.to_owned();
        assert_eq!(again, Err(EnvError::Taken { name }));
    }
}

#[test]
fn a_scheme_makes_whatever_follows_its_colon() {
    let unknown = spec("nobody:Lake-v1").unwrap_err();
    let message = unknown.to_string();
    let expected = "environment `nobody:Lake-v1`: there is no scheme `nobody:`";
    assert!(message.starts_with(expected), "{message}");

    register_scheme("walk", |config| {
        let (_, end) = config.scheme().unwrap_or_default();
        let end = end.parse().map_err(|e| config.bad(format!("{end}: {e}")))?;
        config.no_options()?;
        Ok(on_host(Walk {
            end,
            time_limit: None,
        }))
    })
    .unwrap();
    assert!(make("walk:2.5", 2, &device()).is_ok());
    let message = spec("walk:far").unwrap_err().to_string();
    assert!(
        message.starts_with("environment `walk:far`: far: "),
        "{message}"
    );
    let message = spec("nobody:Lake-v1").unwrap_err().to_string();
    assert!(message.ends_with("there are: walk:"), "{message}");
    for taken in ["walk", "", "a:b"] {
        let again = register_scheme(taken, |_| unreachable!("never asked for"));
        let name = format!("{taken}:");
        assert_eq!(again, Err(EnvError::Taken { name }));
    }
}
