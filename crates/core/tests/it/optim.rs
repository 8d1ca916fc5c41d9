use crate::{assert_close, device::device, vector};
use uphill_core::optim::{Adam, Rule, RuleKind, clip_grad_norm};

#[test]
fn adam_follows_its_equations() {
    // Three steps of algorithm 1 in f64, written out; ε is large enough to see where it stands.
    for eps in [1e-5, 0.1] {
        adam_follows_its_equations_with(eps);
    }
}

fn adam_follows_its_equations_with(eps: f64) {
    let (lr, b1, b2) = (0.1, 0.9, 0.999);
    let grads = [[1.0, -2.0], [0.5, 4.0], [-1.0, 0.0]];
    let mut expected = [0.5, -0.5];
    let (mut m, mut v) = ([0.0; 2], [0.0; 2]);
    for (t, g) in (1..).zip(grads) {
        for i in 0..2 {
            m[i] = b1 * m[i] + (1.0 - b1) * g[i];
            v[i] = b2 * v[i] + (1.0 - b2) * g[i] * g[i];
            let m_hat = m[i] / (1.0 - f64::powi(b1, t));
            let v_hat = v[i] / (1.0 - f64::powi(b2, t));
            expected[i] -= lr * m_hat / (v_hat.sqrt() + eps);
        }
    }
    let mut adam = Adam::new(2, eps, &device());
    let mut params = vector(&[0.5, -0.5]);
    for g in grads {
        params = adam.step(params, vector(&g.map(|x| x as f32)), lr);
    }
    assert_close(params, &expected, 1e-5);
    assert_eq!(adam.steps, 3);
}

#[test]
fn rms_prop_follows_its_equations() {
    let (lr, eps, decay) = (0.01, 0.1, 0.99);
    let grads = [[1.0, -2.0], [0.5, 4.0], [-1.0, 0.0]];
    let mut expected = [0.5, -0.5];
    let mut v = [0.0; 2];
    for g in grads {
        for i in 0..2 {
            v[i] = decay * v[i] + (1.0 - decay) * g[i] * g[i];
            expected[i] -= lr * g[i] / (f64::sqrt(v[i]) + eps);
        }
    }
    let mut rule = Rule::new(RuleKind::RmsProp, 2, eps, &device());
    let mut params = vector(&[0.5, -0.5]);
    for g in grads {
        params = rule.step(params, vector(&g.map(|x| x as f32)), lr);
    }
    assert_close(params, &expected, 1e-5);
}

#[test]
fn gradient_descent_goes_down_the_gradient() {
    let mut rule = Rule::new(RuleKind::Sgd, 2, 1e-5, &device());
    let params = rule.step(vector(&[1.0, 2.0]), vector(&[10.0, -20.0]), 0.1);
    assert_close(params, &[0.0, 4.0], 1e-6);
}

#[test]
fn only_long_gradients_are_shortened() {
    let (clipped, norm) = clip_grad_norm(vector(&[3.0, 4.0]), 0.5);
    assert_close(clipped, &[0.3, 0.4], 1e-5);
    assert_close(norm, &[5.0], 1e-5);
    let (kept, norm) = clip_grad_norm(vector(&[0.03, 0.04]), 0.5);
    assert_close(kept, &[0.03, 0.04], 1e-6);
    assert_close(norm, &[0.05], 1e-6);
    let (off, _) = clip_grad_norm(vector(&[3.0, 4.0]), 0.0);
    assert_close(off, &[3.0, 4.0], 0.0);
    let (zero, _) = clip_grad_norm(vector(&[0.0, 0.0]), 0.5);
    assert_close(zero, &[0.0, 0.0], 0.0);
}

/// Two agents with two parameters of an actor and one of a critic each.
#[test]
fn states_of_several_agents_are_split_and_joined_agent_by_agent() {
    let adam = |first: &[f32]| Adam {
        first: vector(first),
        second: vector(first) * 10.0,
        steps: 7,
        ..Adam::new(first.len(), 1e-5, &device())
    };
    let both = Adam::of_agents(vec![adam(&[1.0, 2.0, 3.0]), adam(&[4.0, 5.0, 6.0])]);
    assert_close(both.first.clone(), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.0);
    let [actors, critics] = both.split(2, 2);
    assert_close(actors.first.clone(), &[1.0, 2.0, 4.0, 5.0], 0.0);
    assert_close(critics.second.clone(), &[30.0, 60.0], 0.0);
    let joined = Adam::joined([actors, critics], 2);
    assert_close(joined.first, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.0);
    assert_close(joined.second, &[10.0, 20.0, 30.0, 40.0, 50.0, 60.0], 0.0);
    assert_eq!(joined.steps, 7);
    let [head, tail] = adam(&[1.0, 2.0, 3.0]).split(1, 1);
    assert_close(head.first.clone(), &[1.0], 0.0);
    assert_close(tail.first.clone(), &[2.0, 3.0], 0.0);
    assert_close(Adam::joined([head, tail], 1).first, &[1.0, 2.0, 3.0], 0.0);
}
