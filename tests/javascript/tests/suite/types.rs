//! The types of the package, as its users' compilers see them.

use crate::program::workshop;

/// Programs in TypeScript's strictest mode, once for each platform, with the vendor's SDK beside them.
#[test]
fn programs_that_use_the_package_pass_the_strictest_type_check() {
    let cloudflare = workshop().packages();
    for (program, conditions, module) in [
        ("consumer.ts", "", "nodenext"),
        ("consumer.ts", "", "bundler"),
        ("consumer.ts", "workerd", "nodenext"),
        ("consumer.ts", "edge-light", "bundler"),
        ("consumer.ts", "deno", "nodenext"),
        ("consumer-workers.ts", "", "nodenext"),
        ("consumer-workers.ts", "", "bundler"),
        ("consumer-conditions.ts", "workerd", "bundler"),
    ] {
        let mut compiler = workshop().builder("typescript/bin/tsc");
        compiler.args(["--ignoreConfig", "--noEmit", "--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess"]);
        compiler.args(["--target", "es2022"]);
        compiler.args(["--moduleResolution", module, "--module", if module == "bundler" { "esnext" } else { module }]);
        if program != "consumer.ts" {
            // With Cloudflare's own types, and no others.
            compiler.args(["--lib", "es2023,esnext.disposable", "--types", "@cloudflare/workers-types", "--typeRoots"]);
            compiler.arg(&cloudflare);
        } else {
            compiler.args(["--lib", "es2023,esnext.disposable,dom,dom.iterable", "--types", "node"]);
            compiler.args(["--typeRoots", "node_modules/@types"]);
        }
        if !conditions.is_empty() {
            compiler.args(["--customConditions", conditions]);
        }
        let output = compiler.arg(workshop().program(program)).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{program} ({conditions}, {module}):\n{said}");
    }
}
