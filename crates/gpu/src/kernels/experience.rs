//! Launches of the kernels on experience.

use super::launch::{arg, beside, cubes, threads, units};
use super::moments::{discounted_kernel, merge_kernel, scale_kernel};
use super::trace::{gae_kernel, scan_kernel};
use crate::ops::ExperienceOps;
use burn::backend::{TensorMetadata, cubecl::dtype_to_storage_type};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};

impl ExperienceOps for CubeBackend {
    fn scan(x: CubeTensor, decay: CubeTensor) -> CubeTensor {
        let (x, decay) = (into_contiguous(x), into_contiguous(decay));
        let shape = x.shape();
        let y = beside(&x, [shape[0], shape[1]]);
        scan_kernel::launch(
            &x.client.clone(),
            threads(&x, shape[1]),
            units(),
            x.into_buffer_arg(),
            decay.into_buffer_arg(),
            y.clone().into_buffer_arg(),
            shape[0] as u32,
            shape[1] as u32,
        );
        y
    }

    fn gae(
        rewards: CubeTensor,
        values: CubeTensor,
        next_values: CubeTensor,
        terminated: CubeTensor,
        truncated: CubeTensor,
        decays: [f32; 2],
        agents: usize,
    ) -> (CubeTensor, CubeTensor) {
        let shape = rewards.shape();
        let advantages = beside(&rewards, [shape[0], shape[1]]);
        let returns = beside(&rewards, [shape[0], shape[1]]);
        let flags = terminated.dtype;
        gae_kernel::launch(
            &rewards.client.clone(),
            threads(&rewards, agents * shape[1]),
            units(),
            into_contiguous(rewards).into_buffer_arg(),
            into_contiguous(values).into_buffer_arg(),
            into_contiguous(next_values).into_buffer_arg(),
            into_contiguous(terminated).into_buffer_arg(),
            into_contiguous(truncated).into_buffer_arg(),
            advantages.clone().into_buffer_arg(),
            returns.clone().into_buffer_arg(),
            decays[0],
            decays[1],
            agents as u32,
            (shape[0] / agents) as u32,
            shape[1] as u32,
            dtype_to_storage_type(flags),
        );
        (advantages, returns)
    }

    fn merge_moments(
        samples: CubeTensor,
        mean: CubeTensor,
        variance: CubeTensor,
        shares: [f32; 2],
        agents: usize,
    ) -> (CubeTensor, CubeTensor) {
        let [rows, width] = [0, 1].map(|d| samples.shape()[d]);
        let len = mean.meta.num_elements();
        let new = [(); 2].map(|()| beside(&mean, [len]));
        let [new_mean, new_variance] = &new;
        merge_kernel::launch(
            &mean.client.clone(),
            cubes([len / agents, agents, 1]),
            units(),
            arg(&into_contiguous(samples)),
            arg(&into_contiguous(mean)),
            arg(&into_contiguous(variance)),
            arg(new_mean),
            arg(new_variance),
            rows / agents,
            width,
            shares[0],
            shares[1],
        );
        new.into()
    }

    fn scaled(
        x: CubeTensor,
        mean: CubeTensor,
        variance: CubeTensor,
        clip: f32,
        centred: bool,
        agents: usize,
    ) -> CubeTensor {
        let [rows, width] = [0, 1].map(|d| x.shape()[d]);
        let features = mean.meta.num_elements() / agents;
        let scaled = beside(&x, [rows, width]);
        scale_kernel::launch(
            &x.client.clone(),
            threads(&x, rows * width),
            units(),
            arg(&into_contiguous(x)),
            arg(&into_contiguous(mean)),
            arg(&into_contiguous(variance)),
            arg(&scaled),
            rows * width,
            rows / agents,
            width,
            features,
            clip,
            centred,
        );
        scaled
    }

    fn discounted(
        rewards: CubeTensor,
        ended: CubeTensor,
        before: CubeTensor,
        gamma: f32,
        agents: usize,
    ) -> (CubeTensor, CubeTensor) {
        let [rows, envs] = [0, 1].map(|d| rewards.shape()[d]);
        let discounted = beside(&rewards, [rows, envs]);
        let after = beside(&rewards, [agents * envs]);
        let flags = ended.dtype;
        discounted_kernel::launch(
            &rewards.client.clone(),
            threads(&rewards, agents * envs),
            units(),
            arg(&into_contiguous(rewards)),
            arg(&into_contiguous(ended)),
            arg(&into_contiguous(before)),
            arg(&discounted),
            arg(&after),
            gamma,
            agents,
            rows / agents,
            envs,
            dtype_to_storage_type(flags),
        );
        (discounted, after)
    }
}
