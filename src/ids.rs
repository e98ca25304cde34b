//! Small typed indices, so that an index of one table can't be used on another. Holds no data.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// The position in its table.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(
    /// A type in a [`crate::codec::schema::Types`] table.
    TypeId
);
id!(
    /// A node in an expression arena.
    ExprId
);
id!(
    /// A pool, by its position in the manifest.
    PoolId
);
