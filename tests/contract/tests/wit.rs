//! Every item of the WIT is documented and says since when it is there, and its types are readable by every host.

use std::path::Path;

use wit_parser::{Interface, PackageId, Resolve, Stability, Type, TypeDef, TypeDefKind, TypeOwner};

fn contract() -> Resolve {
    let mut resolve = Resolve::default();
    for folder in ["../../wit", "../../wit/interposer"] {
        resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap_or_else(|why| panic!("{folder}: {why:?}"));
    }
    resolve
}

/// Whether it is of the contract, and not of a package that the contract names.
fn ours(resolve: &Resolve, package: Option<PackageId>) -> bool {
    package.is_some_and(|package| resolve.packages[package].name.namespace == "wif")
}

fn interfaces(resolve: &Resolve) -> impl Iterator<Item = &Interface> {
    resolve.interfaces.iter().map(|(_, interface)| interface).filter(|interface| ours(resolve, interface.package))
}

fn types(resolve: &Resolve) -> impl Iterator<Item = &TypeDef> {
    resolve.types.iter().map(|(_, ty)| ty).filter(|ty| match ty.owner {
        TypeOwner::Interface(interface) => ours(resolve, resolve.interfaces[interface].package),
        TypeOwner::World(world) => ours(resolve, resolve.worlds[world].package),
        TypeOwner::None => false,
    })
}

/// What every item of the contract has: a name, its docs, and since when it is there.
fn items(resolve: &Resolve) -> Vec<(String, Option<String>, Option<Stability>)> {
    let mut items = Vec::new();
    for interface in interfaces(resolve) {
        let name = interface.name.clone().unwrap_or_default();
        items.push((name.clone(), interface.docs.contents.clone(), Some(interface.stability.clone())));
        for (function, it) in &interface.functions {
            items.push((format!("{name}.{function}"), it.docs.contents.clone(), Some(it.stability.clone())));
        }
    }
    for (_, world) in resolve.worlds.iter() {
        items.push((world.name.clone(), world.docs.contents.clone(), Some(world.stability.clone())));
    }
    for ty in types(resolve) {
        let Some(name) = &ty.name else { continue };
        // An alias made by `use` has the docs of what it names.
        if matches!(ty.kind, TypeDefKind::Type(Type::Id(_))) {
            continue;
        }
        assert!(!matches!(ty.owner, TypeOwner::None), "{name} belongs to an interface");
        items.push((name.clone(), ty.docs.contents.clone(), Some(ty.stability.clone())));
        let parts: Vec<(&str, &Option<String>)> = match &ty.kind {
            TypeDefKind::Record(it) => it.fields.iter().map(|field| (field.name.as_str(), &field.docs.contents)).collect(),
            TypeDefKind::Variant(it) => it.cases.iter().map(|case| (case.name.as_str(), &case.docs.contents)).collect(),
            TypeDefKind::Enum(it) => it.cases.iter().map(|case| (case.name.as_str(), &case.docs.contents)).collect(),
            _ => Vec::new(),
        };
        items.extend(parts.into_iter().map(|(part, docs)| (format!("{name}.{part}"), docs.clone(), None)));
    }
    items
}

#[test]
fn every_item_has_docs_and_says_since_when() {
    let resolve = contract();
    let items = items(&resolve);
    assert!(items.len() > 150, "only {} items were found", items.len());
    for (name, docs, stability) in items {
        assert!(docs.is_some_and(|docs| docs.trim().len() > 3), "{name} is not documented");
        if let Some(stability) = stability {
            assert!(matches!(stability, Stability::Stable { .. }), "{name} does not say @since");
        }
    }
}

/// Hosts that represent a variant by its payload alone lose its tag unless two cases have none, or two the same type.
#[test]
fn every_variant_keeps_its_tag_in_dynamic_hosts() {
    let resolve = contract();
    let mut variants = 0;
    for ty in types(&resolve) {
        let TypeDefKind::Variant(variant) = &ty.kind else { continue };
        variants += 1;
        let bare = variant.cases.iter().filter(|case| case.ty.is_none()).count();
        let shared = variant
            .cases
            .iter()
            .any(|case| case.ty.is_some() && variant.cases.iter().filter(|other| other.ty == case.ty).count() > 1);
        assert!(bare >= 2 || shared, "{:?} would lose its tag", ty.name);
    }
    assert!(variants >= 5);
}

/// A bare `true` at a call says nothing to its reader.
#[test]
fn no_parameter_is_a_bool_and_times_carry_their_unit() {
    let resolve = contract();
    for interface in interfaces(&resolve) {
        for (name, function) in &interface.functions {
            assert!(function.params.iter().all(|param| param.ty != Type::Bool), "{name} takes a bool");
        }
    }
    for ty in types(&resolve) {
        let TypeDefKind::Record(record) = &ty.kind else { continue };
        for field in &record.fields {
            let timely = ["timeout", "expires", "wake", "retry", "refresh", "hold", "unusable", "lifetime", "wait"];
            let number = matches!(field.ty, Type::U32 | Type::U64 | Type::S64);
            if number && timely.iter().any(|word| field.name.contains(word)) {
                assert!(field.name.ends_with("-ms"), "{} does not name its unit", field.name);
            }
        }
    }
}
