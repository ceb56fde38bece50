//! Transformations of the firewall: a value without a trigger is not changed, and no value panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::waf::bytes::ByteSet;
use margay::waf::transform::Transform;

fuzz_target!(|data: &[u8]| {
    for transform in Transform::ALL {
        let output = transform.apply(data);
        if transform.triggers().is_some_and(|triggers| !ByteSet::scan(data).is_meeting(&triggers)) {
            assert_eq!(&*output, data, "{}", transform.name());
        }
    }
});
