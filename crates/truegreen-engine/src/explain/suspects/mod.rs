//! Where failing requests leave the way of healthy ones.
