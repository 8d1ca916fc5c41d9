use crate::{assert_close, device::device, matrix, numbers};
use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use uphill_core::{
    network::{Net, WithLogStd},
    nn::{Mlp, MlpConfig},
    params,
};

fn mlp() -> Mlp {
    let config = MlpConfig {
        hidden: vec![3],
        ..Default::default()
    };
    config.build(2, 2, 1.0, &mut SmallRng::seed_from_u64(1), &device())
}

#[test]
fn flatten_and_unflatten_are_inverse() {
    let module = mlp();
    let flat = params::flatten(&module);
    assert_eq!(flat.dims(), [2 * 3 + 3 + 3 * 2 + 2]);
    let other: Vec<f32> = (0..17).map(|i| i as f32 * 0.25).collect();
    let other = Tensor::<1>::from_data(TensorData::new(other, [17]), &device());
    let changed = params::unflatten(module.clone(), other.clone());
    assert_eq!(numbers(params::flatten(&changed)), numbers(other));
    let back = params::unflatten(changed, flat.clone());
    assert_eq!(numbers(params::flatten(&back)), numbers(flat));
}

#[test]
fn a_parameter_without_elements_is_empty() {
    let spec = |shape: &[usize]| params::ParamSpec {
        name: "weight".to_owned(),
        shape: shape.to_vec(),
    };
    assert_eq!((spec(&[2, 3]).len(), spec(&[2, 3]).is_empty()), (6, false));
    assert_eq!((spec(&[0, 3]).len(), spec(&[0, 3]).is_empty()), (0, true));
}

#[test]
fn the_layout_names_parameters_in_order() {
    let net = Net::new(WithLogStd::new(mlp(), 2, 0.5, &device()));
    let names: Vec<String> = net.layout().into_iter().map(|spec| spec.name).collect();
    assert_eq!(
        names,
        [
            "mean.layers.0.weight",
            "mean.layers.0.bias",
            "mean.layers.1.weight",
            "mean.layers.1.bias",
            "log_std"
        ]
    );
    assert_eq!(net.num_params(), 19);
    assert_eq!(numbers(net.flat())[17..], [0.5, 0.5]);
}

#[test]
#[should_panic(expected = "does not fit")]
fn a_vector_that_is_too_long_is_refused() {
    params::unflatten(mlp(), Tensor::zeros([18], &device()));
}

#[test]
fn the_flat_gradient_is_the_slope_along_every_parameter() {
    let net = Net::new(mlp());
    let tracked = net.tracked();
    // Through the module's own parameters, not through the flat copy.
    let x = matrix([[1.0, 0.0], [0.0, 1.0]]);
    let loss = tracked.forward(x.clone()).square().sum();
    let grad = tracked.flat_grad(&loss.backward());
    assert_eq!(grad.dims(), [net.num_params()]);

    // Independent: central differences of the plain network.
    let flat = numbers(net.flat());
    let at = |i: usize, e: f32| {
        let mut moved: Vec<f32> = flat.iter().map(|v| *v as f32).collect();
        moved[i] += e;
        let moved = Tensor::from_data(TensorData::new(moved, [flat.len()]), &device());
        numbers(net.with_flat(moved).forward(x.clone()).square().sum())[0]
    };
    let expected: Vec<f64> = (0..flat.len())
        .map(|i| (at(i, 1e-2) - at(i, -1e-2)) / 2e-2)
        .collect();
    assert_close(grad, &expected, 5e-3);
}

#[test]
fn plain_networks_record_nothing() {
    let net = Net::new(mlp());
    assert!(!net.forward(matrix([[1.0, 2.0]])).is_tracked());
    assert!(net.tracked().forward(matrix([[1.0, 2.0]])).is_tracked());
    let born_tracked = Net::new(params::tracked(mlp()));
    assert!(!born_tracked.forward(matrix([[1.0, 2.0]])).is_tracked());
    let updated = net.tracked().with_flat(net.flat());
    assert!(!updated.forward(matrix([[1.0, 2.0]])).is_tracked());
}
