//! The probe of modules that say they are perceptrons.

use crate::device::device;
use burn::{module::Module, tensor::Tensor};
use rand::{SeedableRng, rngs::SmallRng};
use uphill_core::{
    heads::Masked,
    network::{Net, Network, WithLogStd},
    nn::{Activate, Activation, Init, Mlp, MlpConfig},
    ops::MlpShape,
};

fn mlp([inputs, outputs]: [usize; 2], hidden: &[usize], activation: Activation) -> Mlp {
    let config = MlpConfig {
        hidden: hidden.to_vec(),
        activation,
        init: Init::Uniform,
    };
    config.build(
        inputs,
        outputs,
        1.0,
        &mut SmallRng::seed_from_u64(1),
        &device(),
    )
}

#[test]
fn perceptrons_of_every_form_are_what_they_say() {
    for activation in [Activation::Tanh, Activation::Relu] {
        for hidden in [&[][..], &[7], &[9, 5], &[64, 3, 8]] {
            let net = || mlp([4, 2], hidden, activation);
            for net in [
                Net::new(net()),
                Net::new(WithLogStd::new(net(), 2, -0.5, &device())),
                Net::new(Masked::new(net())),
            ] {
                assert!(net.perceptron().is_some());
                assert_eq!(net.check_shape(), Ok(()), "{hidden:?}");
            }
        }
    }
}

/// A perceptron whose passes differ a little from those of the shape that it claims.
#[derive(Module, Debug)]
struct Liar {
    net: Mlp,
    #[module(skip)]
    claimed: Option<MlpShape>,
    #[module(skip)]
    slope: f64,
}

impl Network for Liar {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        let last = self.net.layers.len() - 1;
        let layers = self.net.layers.iter().enumerate();
        layers.fold(obs, |x, (i, layer)| match layer.forward(x) {
            z if i == last => z,
            z => self.net.activation.apply(z * self.slope),
        })
    }

    fn mlp_shape(&self) -> Option<MlpShape> {
        self.claimed.clone()
    }
}

fn verdict(slope: f64, change: impl FnOnce(&mut MlpShape)) -> Result<(), String> {
    let net = mlp([4, 2], &[8, 8], Activation::Tanh);
    let mut shape = net.mlp_shape().unwrap();
    change(&mut shape);
    let claimed = Some(shape);
    Net::new(Liar {
        net,
        claimed,
        slope,
    })
    .check_shape()
}

#[test]
fn what_computes_something_else_is_told_so() {
    assert_eq!(verdict(1.0, |_| ()), Ok(()));
    // Small differences show where nothing is saturated.
    for slope in [0.9, 1.1] {
        let message = verdict(slope, |_| ()).unwrap_err();
        assert!(
            message.contains("computes something else than forward"),
            "{message}"
        );
    }
    let relu = verdict(1.0, |shape| shape.activation = Activation::Relu).unwrap_err();
    assert!(relu.contains("[4, 8, 8, 2] with Relu"), "{relu}");
    assert!(verdict(f64::NAN, |_| ()).is_err());
}

#[test]
fn other_outputs_are_told() {
    // As many parameters as the network has: log σ where biases are.
    let message = verdict(1.0, |shape| {
        shape.widths = vec![4, 8, 8, 1];
        shape.log_stds = 9;
    });
    let message = message.unwrap_err();
    assert!(
        message.contains("outputs [5, 10] for 5 observations, forward makes [5, 2]"),
        "{message}"
    );
}

#[test]
fn without_a_shape_there_is_nothing_to_check() {
    let net = mlp([4, 2], &[8], Activation::Tanh);
    let liar = Liar {
        net,
        claimed: None,
        slope: 2.0,
    };
    assert_eq!(Net::new(liar).check_shape(), Ok(()));
}
