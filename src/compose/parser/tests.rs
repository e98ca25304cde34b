//! Compositions as people write them.

use super::*;

#[test]
fn a_composition_of_all_declarations() {
    let text = include_str!("../../../fuzz/corpus/loc/tour.loc");
    let module = parse(text).expect("it is right");
    assert_eq!(module.definitions.len(), 2);
}
