//! Who a user is: by what the configuration says, and how a password is checked.

pub mod users;
