//! TensorBoard event files with scalars, written without TensorFlow.
//!
//! An event file is a sequence of TFRecords, each holding one `Event` protobuf message
//! ([`event.proto`](https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto)).
//! Scalars need six of its fields, so they are encoded here directly instead of with a protobuf compiler:
//!
//! ```text
//! record  = length: u64 | masked crc32c(length): u32 | event | masked crc32c(event): u32      little-endian
//! Event   = 1 wall_time: double | 2 step: int64 | 3 file_version: string | 5 Summary | 7 SessionLog
//! Summary = 1 Value*;  Value = 1 tag: string | 2 simple_value: float;  SessionLog = 1 status: START
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    place::Growing,
    sink::{Row, Sink},
};
use anyhow::{Context as _, Result};

/// Version that every reader checks in the first event of a file.
const FILE_VERSION: &str = "brain.Event:2";

/// `SessionLog.SessionStatus.START`.
const SESSION_START: u64 = 1;

/// Maximum number of starts in the same second on the same host.
const MAX_STARTS_PER_SECOND: u32 = 1000;

/// Appends scalars to one event file; a run directory gets a new file at every start, and TensorBoard joins them.
pub(crate) struct EventWriter {
    file: Growing,
}

impl EventWriter {
    /// Opens a new event file in `dir`, which must exist.
    ///
    /// `start_step` is the step at which a resumed run continues, the last one of its checkpoint: TensorBoard then
    /// drops the points that an earlier process wrote after it, so that a curve does not fold back where a run was
    /// killed between a checkpoint and its last log line.
    pub(crate) fn create(dir: &Path, start_step: Option<u64>) -> Result<Self> {
        let mut writer = Self {
            file: Growing::open(&create_unique(dir)?)?,
        };
        writer.record(&version_event(now()));
        if let Some(step) = start_step {
            writer.record(&start_event(now(), step.saturating_add(1)));
        }
        writer.flush()?;
        Ok(writer)
    }

    /// Adds one point to the curve `tag`; it reaches the disk at [`flush`](Sink::flush).
    fn scalar(&mut self, tag: &str, step: u64, value: f32) {
        self.record(&scalar_event(now(), tag, step, value));
    }

    fn record(&mut self, event: &[u8]) {
        self.file.push(&frame(event));
    }
}

impl Sink for EventWriter {
    fn row(&mut self, row: &Row<'_>) -> Result<()> {
        let (report, step) = (row.report, row.report.env_steps);
        let common = [
            ("rollout/episode_return_mean", report.episode_return_mean),
            ("rollout/episode_length_mean", report.episode_length_mean),
            ("time/env_steps_per_s", Some(row.env_steps_per_s)),
        ];
        for (tag, value) in common {
            if let Some(value) = value {
                self.scalar(tag, step, value as f32);
            }
        }
        for (name, value) in &report.metrics.0 {
            if let Some(value) = value {
                self.scalar(&format!("update/{name}"), step, *value as f32);
            }
        }
        Ok(())
    }

    /// Makes everything written so far visible to a running TensorBoard.
    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}

/// Creates `events.out.tfevents.<secs>.<host>.uphill`, with a larger number at the end if the name is taken.
///
/// TensorBoard takes any file whose name contains `tfevents` and reads a directory's files in the order of their names,
/// so the seconds come first and the number last.
fn create_unique(dir: &Path) -> Result<PathBuf> {
    let base = format!(
        "events.out.tfevents.{:010}.{}.uphill",
        now() as u64,
        host_name()
    );
    for start in 0..MAX_STARTS_PER_SECOND {
        let name = match start {
            0 => base.clone(),
            n => format!("{base}.{n:03}"),
        };
        let path = dir.join(name);
        match File::create_new(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot create {}", path.display()));
            }
        }
    }
    anyhow::bail!("cannot create {}: it exists", dir.join(base).display())
}

/// Name of the host. It is only a label in the file name, so the usual places on common systems suffice, with
/// `localhost` as the fallback.
fn host_name() -> String {
    let found = ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .unwrap_or_default();
    file_name_part(found.trim())
}

/// Makes a host name safe as a part of a file name: no path separators and no dots.
fn file_name_part(host: &str) -> String {
    let clean: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    if clean.is_empty() {
        "localhost".to_owned()
    } else {
        clean
    }
}

/// Seconds since 1970, for `Event.wall_time`.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

fn version_event(wall_time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    put_double(&mut event, 1, wall_time);
    put_bytes(&mut event, 3, FILE_VERSION.as_bytes());
    event
}

/// An event that makes TensorBoard drop the points of earlier files at `step` and later.
fn start_event(wall_time: f64, step: u64) -> Vec<u8> {
    let mut log = Vec::new();
    put_uint(&mut log, 1, SESSION_START);
    let mut event = Vec::new();
    put_double(&mut event, 1, wall_time);
    put_uint(&mut event, 2, step);
    put_bytes(&mut event, 7, &log);
    event
}

fn scalar_event(wall_time: f64, tag: &str, step: u64, value: f32) -> Vec<u8> {
    let mut point = Vec::new();
    put_bytes(&mut point, 1, tag.as_bytes());
    put_float(&mut point, 2, value);
    let mut summary = Vec::new();
    put_bytes(&mut summary, 1, &point);
    let mut event = Vec::new();
    put_double(&mut event, 1, wall_time);
    put_uint(&mut event, 2, step);
    put_bytes(&mut event, 5, &summary);
    event
}

/// Wraps one event as a TFRecord.
fn frame(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(event.len() + 16);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked_crc(&length).to_le_bytes());
    record.extend_from_slice(event);
    record.extend_from_slice(&masked_crc(event).to_le_bytes());
    record
}

/// The checksum of a TFRecord: CRC-32C, rotated and shifted so that a checksum of data that contains checksums remains
/// a good one.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

/// The wire types of protobuf used here.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_key(out: &mut Vec<u8>, field: u64, wire_type: u64) {
    put_varint(out, field << 3 | wire_type);
}

fn put_uint(out: &mut Vec<u8>, field: u64, value: u64) {
    put_key(out, field, VARINT);
    put_varint(out, value);
}

fn put_double(out: &mut Vec<u8>, field: u64, value: f64) {
    put_key(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_float(out: &mut Vec<u8>, field: u64, value: f32) {
    put_key(out, field, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    put_key(out, field, LENGTH_DELIMITED);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// One decoded field of a protobuf message.
    #[derive(Debug, PartialEq)]
    enum Field {
        Int(u64),
        Double(f64),
        Float(f32),
        Bytes(Vec<u8>),
    }

    /// CRC-32C bit by bit (reflected polynomial 0x82f63b78), as an independent check of the library and the framing.
    fn slow_crc32c(data: &[u8]) -> u32 {
        !data.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ ((crc & 1) * 0x82f6_3b78)
            })
        })
    }

    fn slow_mask(crc: u32) -> u32 {
        crc.rotate_right(15).wrapping_add(0xa282_ead8)
    }

    fn take<const N: usize>(data: &mut &[u8]) -> [u8; N] {
        let (head, rest) = data.split_first_chunk::<N>().expect("file ends early");
        *data = rest;
        *head
    }

    fn take_varint(data: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let [byte] = take::<1>(data);
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    fn records(mut data: &[u8]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while !data.is_empty() {
            let length = take::<8>(&mut data);
            let length_crc = u32::from_le_bytes(take::<4>(&mut data));
            assert_eq!(length_crc, slow_mask(slow_crc32c(&length)));
            let (event, rest) = data.split_at(u64::from_le_bytes(length) as usize);
            data = rest;
            let event_crc = u32::from_le_bytes(take::<4>(&mut data));
            assert_eq!(event_crc, slow_mask(slow_crc32c(event)));
            out.push(event.to_vec());
        }
        out
    }

    fn fields(mut data: &[u8]) -> Vec<(u64, Field)> {
        let mut out = Vec::new();
        while !data.is_empty() {
            let key = take_varint(&mut data);
            let field = match key & 7 {
                0 => Field::Int(take_varint(&mut data)),
                1 => Field::Double(f64::from_le_bytes(take(&mut data))),
                5 => Field::Float(f32::from_le_bytes(take(&mut data))),
                2 => {
                    let length = take_varint(&mut data) as usize;
                    let (bytes, rest) = data.split_at(length);
                    data = rest;
                    Field::Bytes(bytes.to_vec())
                }
                other => panic!("wire type {other}"),
            };
            out.push((key >> 3, field));
        }
        out
    }

    /// The fields of an event without its clock, which must be present and recent.
    fn without_clock(event: &[u8]) -> Vec<(u64, Field)> {
        let mut fields = fields(event);
        let (1, Field::Double(wall_time)) = fields.remove(0) else {
            panic!("no wall_time");
        };
        assert!((now() - wall_time).abs() < 60.0, "{wall_time}");
        fields
    }

    #[test]
    fn crc32c_matches_the_published_vectors() {
        // RFC 3720, appendix B.4, and the usual check value.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(slow_crc32c(b"123456789"), 0xe306_9283);
        // 0xe3069283 rotated right by 15 is 0x2507c60d; plus 0xa282ead8 is 0xc78ab0e5.
        assert_eq!(masked_crc(b"123456789"), 0xc78a_b0e5);
    }

    #[test]
    fn an_independent_reader_gets_back_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(dir.path(), Some(300)).unwrap();
        writer.scalar("charts/return", 400, 21.5);
        writer.scalar("x", u64::MAX >> 1, f32::NAN);
        writer.flush().unwrap();

        let events = records(&std::fs::read(writer.file.path()).unwrap());
        assert_eq!(events.len(), 4);
        let version = vec![(3, Field::Bytes(b"brain.Event:2".to_vec()))];
        assert_eq!(without_clock(&events[0]), version);
        let start = vec![(2, Field::Int(301)), (7, Field::Bytes(vec![0x08, 1]))];
        assert_eq!(without_clock(&events[1]), start);

        let scalar = without_clock(&events[2]);
        assert_eq!(scalar[0], (2, Field::Int(400)));
        let (5, Field::Bytes(summary)) = &scalar[1] else {
            panic!("no summary");
        };
        let summary = fields(summary);
        let [(1, Field::Bytes(point))] = summary.as_slice() else {
            panic!("not one value");
        };
        assert_eq!(
            fields(point),
            [
                (1, Field::Bytes(b"charts/return".to_vec())),
                (2, Field::Float(21.5))
            ]
        );
        assert_eq!(
            without_clock(&events[3])[0],
            (2, Field::Int(u64::MAX >> 1)),
            "a step of nine varint bytes"
        );
    }

    #[test]
    fn every_start_gets_its_own_file_and_only_a_resume_a_start_marker() {
        let dir = tempfile::tempdir().unwrap();
        let first = EventWriter::create(dir.path(), None).unwrap();
        let second = EventWriter::create(dir.path(), None).unwrap();
        let (first, second) = (first.file.path(), second.file.path());
        assert_ne!(first, second);
        assert!(first < second, "read in this order");
        assert_eq!(records(&std::fs::read(first).unwrap()).len(), 1);
        let name = first.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("events.out.tfevents."), "{name}");
        assert!(name.ends_with(".uphill"), "{name}");
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("gone");
        let error = EventWriter::create(&missing, None).err().unwrap();
        assert!(format!("{error:#}").contains("gone"), "{error:#}");
    }

    #[test]
    fn a_host_name_is_one_part_of_a_file_name() {
        assert_eq!(file_name_part("node-1.example.org"), "node-1-example-org");
        assert_eq!(file_name_part("../x"), "---x");
        assert_eq!(file_name_part(""), "localhost");
    }
}
