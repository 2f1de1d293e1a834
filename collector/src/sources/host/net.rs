//! /proc/net/dev: bytes, packets and errors of each network interface.

use super::emitter::{Emitter, Metric, metric};
use super::text::{lines, number, words};

macro_rules! net {
    ($($id:ident $name:literal $help:literal)*) => {
        $(const $id: Metric = metric(concat!("node_network_", $name, "_total"), $help, &["device"]);)*
        /// In the order of the columns.
        const COLUMNS: [&Metric; 16] = [$(&$id,)*];
    };
}
net! {
    RX_BYTES "receive_bytes" "Bytes received."
    RX_PACKETS "receive_packets" "Packets received."
    RX_ERRS "receive_errs" "Bad packets received."
    RX_DROP "receive_drop" "Packets received and dropped."
    RX_FIFO "receive_fifo" "Receive FIFO errors."
    RX_FRAME "receive_frame" "Receive frame errors."
    RX_COMPRESSED "receive_compressed" "Compressed packets received."
    RX_MULTICAST "receive_multicast" "Multicast packets received."
    TX_BYTES "transmit_bytes" "Bytes sent."
    TX_PACKETS "transmit_packets" "Packets sent."
    TX_ERRS "transmit_errs" "Packets that could not be sent."
    TX_DROP "transmit_drop" "Packets dropped before they were sent."
    TX_FIFO "transmit_fifo" "Transmit FIFO errors."
    TX_COLLS "transmit_colls" "Collisions."
    TX_CARRIER "transmit_carrier" "Losses of carrier."
    TX_COMPRESSED "transmit_compressed" "Compressed packets sent."
}

pub(super) fn parse(text: &[u8], out: &mut Emitter) {
    // Two lines of headings.
    for line in lines(text).skip(2) {
        // An alias (`eth0:1`) has a colon of its own: the last one ends the name.
        let Some(colon) = memchr::memrchr(b':', line) else {
            continue;
        };
        let (device, numbers) = line.split_at(colon);
        let device = device.trim_ascii();
        for (metric, n) in COLUMNS.iter().zip(words(&numbers[1..]).map_while(number)) {
            out.counter(metric, &[device], n);
        }
    }
}
