//! What holds of accounting records, seen by NASes and by whoever reads the files. RFC 2866 §4.1.

use super::invariants;

invariants! {
    ACKNOWLEDGED_IS_SAFE = "acknowledged-is-safe", "A record that was acknowledged survives any crash from then on.";
    NO_TORN_LINE = "no-torn-line", "After each start every line of the file is a whole record.";
    ONE_DIGEST = "one-digest", "A record that is there twice has the same digest, and no other record has it.";
    STORED_IN_THE_END = "stored-in-the-end", "When disks and processes have stopped failing every record is acknowledged.";
    ANSWERS_VERIFY = "answers-verify", "Each Accounting-Response verifies and has the Identifier of a request.";
}
