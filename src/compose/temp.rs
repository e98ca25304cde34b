//! temp
use super::ast::Module;
use super::compiled::*;
use super::compile::Sourced;
use crate::source::signature::Flaw;
use crate::source::types::Type;
fn schema(ty: &Type) -> String {
    match ty {
        Type::Base(b) => b.schema().into(),
        Type::List(t) => format!("[{}]", schema(t)),
        Type::Optional(t) => format!("?{}", schema(t)),
        Type::Tuple(t) => format!("({})", t.iter().map(schema).collect::<Vec<_>>().join(",")),
        _ => "z".into(),
    }
}
pub fn compile(m: &Module, libs: &[Sourced<'_>]) -> Result<Compiled, Vec<Flaw>> {
    let mut c = Compiled::default();
    c.name = m.name.as_ref().unwrap().text.clone();
    for s in &m.sources {
        let lib = libs.iter().find(|l| l.file == s.file.text).unwrap();
        let pool = c.pools.iter().position(|p| p.lang == lib.lang).unwrap_or_else(|| { c.pools.push(Pool { lang: lib.lang.into(), at_once: 1 }); c.pools.len() - 1 });
        for (n, here) in &s.functions {
            let f = lib.library.functions.iter().find(|f| f.name == n.text).unwrap();
            let mid = c.instances.iter().filter(|i| i.pool == pool).count() as u32 + 1;
            let a: Vec<_> = f.params.iter().map(|p| schema(&p.ty)).collect();
            c.instances.push(Instance { pool, mid, file: lib.file.into(), function: f.name.clone(), params: f.params.clone(), returns: f.returns.clone(), arg_schemas: a.clone(), return_schema: schema(&f.returns) });
            c.commands.push(Command { name: here.text.clone(), is_internal: false, doc: f.doc.clone(), params: f.params.clone(), returns: f.returns.clone(), arg_schemas: a, return_schema: schema(&f.returns), body: Body::Remote(c.instances.len() - 1) });
        }
    }
    Ok(c)
}
