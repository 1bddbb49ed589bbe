//! What threads share of a credential, by the names of those who made it. In this crate's own tests each touch of it is a point
//! where another thread may come in between: see `driver/orders.rs`.

#[cfg(not(test))]
pub(crate) use self::plain::*;
#[cfg(test)]
pub(crate) use self::turns::*;

#[cfg(not(test))]
mod plain {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64};

    pub(crate) use arc_swap::{ArcSwap, ArcSwapOption};
    pub(crate) use tokio::sync::{Notify, watch};
}

#[cfg(test)]
mod turns {
    use std::cell::Cell;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use arc_swap::Guard;

    thread_local! {
        static EXPLORES: Cell<bool> = const { Cell::new(false) };
    }

    /// Tries orders of threads from here on, or no more.
    pub(crate) fn explore(explores: bool) {
        EXPLORES.set(explores);
    }

    /// Another thread may come in here.
    fn turn<T>(touched: T) -> T {
        if EXPLORES.get() && !std::thread::panicking() {
            shuttle::thread::yield_now();
        }
        touched
    }

    pub(crate) struct ArcSwap<T>(arc_swap::ArcSwap<T>);

    impl<T> ArcSwap<T> {
        pub(crate) fn from_pointee(value: T) -> Self {
            Self(arc_swap::ArcSwap::from_pointee(value))
        }

        pub(crate) fn load(&self) -> Guard<Arc<T>> {
            turn(self.0.load())
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            turn(self.0.load_full())
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            self.0.store(value);
            turn(());
        }
    }

    pub(crate) struct ArcSwapOption<T>(arc_swap::ArcSwapOption<T>);

    impl<T> ArcSwapOption<T> {
        pub(crate) fn empty() -> Self {
            Self(arc_swap::ArcSwapOption::empty())
        }

        pub(crate) fn load(&self) -> Guard<Option<Arc<T>>> {
            turn(self.0.load())
        }

        pub(crate) fn load_full(&self) -> Option<Arc<T>> {
            turn(self.0.load_full())
        }

        pub(crate) fn store(&self, value: Option<Arc<T>>) {
            self.0.store(value);
            turn(());
        }
    }

    pub(crate) struct AtomicBool(std::sync::atomic::AtomicBool);

    impl AtomicBool {
        pub(crate) const fn new(value: bool) -> Self {
            Self(std::sync::atomic::AtomicBool::new(value))
        }

        pub(crate) fn load(&self, ordering: Ordering) -> bool {
            turn(self.0.load(ordering))
        }

        pub(crate) fn swap(&self, value: bool, ordering: Ordering) -> bool {
            turn(self.0.swap(value, ordering))
        }
    }

    pub(crate) struct AtomicU64(std::sync::atomic::AtomicU64);

    impl AtomicU64 {
        pub(crate) const fn new(value: u64) -> Self {
            Self(std::sync::atomic::AtomicU64::new(value))
        }

        pub(crate) fn swap(&self, value: u64, ordering: Ordering) -> u64 {
            turn(self.0.swap(value, ordering))
        }
    }

    pub(crate) struct Notify(tokio::sync::Notify);

    impl Notify {
        pub(crate) fn new() -> Self {
            Self(tokio::sync::Notify::new())
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
            turn(());
        }

        pub(crate) async fn notified(&self) {
            self.0.notified().await;
            turn(());
        }
    }

    pub(crate) mod watch {
        use tokio::sync::watch;
        use tokio::sync::watch::Ref;
        use tokio::sync::watch::error::RecvError;

        use super::turn;

        pub(crate) fn channel<T>(first: T) -> (Sender<T>, Receiver<T>) {
            let (sender, receiver) = watch::channel(first);
            (Sender(sender), Receiver(receiver))
        }

        pub(crate) struct Sender<T>(watch::Sender<T>);

        impl<T> Sender<T> {
            pub(crate) fn send_replace(&self, value: T) -> T {
                turn(self.0.send_replace(value))
            }
        }

        #[derive(Clone)]
        pub(crate) struct Receiver<T>(watch::Receiver<T>);

        impl<T> Receiver<T> {
            /// No other thread comes in before the borrowing ends: it would wait for that.
            pub(crate) fn borrow_and_update(&mut self) -> Ref<'_, T> {
                self.0.borrow_and_update()
            }

            pub(crate) async fn changed(&mut self) -> Result<(), RecvError> {
                turn(self.0.changed().await)
            }
        }
    }
}
