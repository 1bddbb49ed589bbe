//! The command: see the library.

fn main() -> anyhow::Result<()> {
    wif_benches::main()
}
