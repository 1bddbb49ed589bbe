//! What is promised of the filter as it ships, one file for each promise. One binary, for each more would be linked anew.

mod equal_modules_make_equal_images;
mod fetchers_find_the_module;
mod the_module_is_what_was_promised;
#[cfg(unix)]
mod where_it_is_built_does_not_matter;

#[allow(unreachable_pub, reason = "shared by the files of one binary")]
mod reader;
