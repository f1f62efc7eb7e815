//! Other ways to look for causes, reimplemented from their descriptions as they stand there. They are labelled as such in
//! every report; none of them was made for all that is planted here.

pub mod adtributor;
pub mod share_difference;
