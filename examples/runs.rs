//! Every example, with a tiny budget.

#![allow(dead_code)] // their `main`

mod by_hand;
mod custom_env;
mod custom_network;
mod train_ppo;

#[test]
fn every_example_runs() {
    train_ppo::run(512).expect("train_ppo");
    custom_env::run(512).expect("custom_env");
    custom_network::run(512).expect("custom_network");
    by_hand::run(4).expect("by_hand");
}
