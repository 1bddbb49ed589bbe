//! What the library promises, one file for each promise. One binary, for each more would be linked anew.

#![allow(clippy::disallowed_methods, reason = "real servers and real files have the machine's time")]

mod a_busy_component_is_paced;
mod a_client_of_the_program_sends_requests;
#[cfg(unix)]
mod a_directory_is_a_store;
mod a_hostile_token_endpoint_harms_nobody;
#[cfg(unix)]
mod a_redis_server_is_a_store;
mod a_rejected_request_is_sent_once_more;
mod a_rotated_file_is_read_whole;
mod a_shared_store_makes_one_of_many;
mod a_stopped_component_is_replaced;
mod a_token_goes_to_its_origin_only;
mod blocking_programs_are_served;
mod callers_share_one_exchange;
mod credentials_of_a_pool_share_what_they_can;
mod hostile_answers_go_nowhere;
mod no_secret_is_shown;
mod nothing_happens_against_the_policy;
mod nothing_is_carried_away;
mod only_a_verified_server_is_told_anything;
mod requests_carry_one_credential;
mod the_cases_of_callers_hold;
mod the_cases_of_requests_hold;
mod the_clock_governs_all_time;
mod the_component_is_what_was_promised;
#[cfg(feature = "native")]
mod the_engine_runs_natively_too;
mod the_examples_work;
mod the_journal_carries_over;
mod what_changes_is_logged;

#[allow(unreachable_pub, reason = "shared by the files of one binary")]
mod api;
#[allow(unreachable_pub, reason = "shared by the files of one binary")]
mod support;
