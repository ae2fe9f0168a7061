//! Enums that know all their variants: the list is made from the enum itself, so that none can be forgotten in it.

/// As the enum would be written, and `ALL` with it, in the same order.
macro_rules! listed {
    ($(#[$of_all:meta])* $vis:vis enum $name:ident { $($(#[$of_one:meta])* $variant:ident $(= $value:literal)?),+ $(,)? }) => {
        $(#[$of_all])*
        $vis enum $name {
            $($(#[$of_one])* $variant $(= $value)?),+
        }

        impl $name {
            pub const ALL: [$name; [$($name::$variant),+].len()] = [$($name::$variant),+];
        }
    };
}

pub(crate) use listed;
