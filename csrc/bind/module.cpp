// The extension module flatconv._core: registers functions, nothing else.
#include "bind/adjoints.hpp"
#include "bind/operations.hpp"

namespace {

namespace py = pybind11;

py::list instruction_sets() {
    py::list sets;
    for (const flatconv::IsaInfo& info : flatconv::instruction_sets()) {
        py::dict entry;
        entry["name"] = info.name;
        entry["usable"] = info.usable;
        entry["float32_tile"] = py::make_tuple(info.float32_rows, info.float32_cols);
        entry["float64_tile"] = py::make_tuple(info.float64_rows, info.float64_cols);
        sets.append(entry);
    }
    return sets;
}

std::string get_isa() {
    std::string name;
    flatconv::bind::check(flatconv::get_isa(name));
    return name;
}

int get_num_threads() {
    const int threads = flatconv::get_num_threads();
    if (threads == 0) flatconv::bind::check(flatconv::set_num_threads(0));  // says why there is no default
    return threads;
}

double measure_peak(const py::dtype& dtype) {
    const bool single = dtype.equal(py::dtype::of<float>());
    if (!single && !dtype.equal(py::dtype::of<double>())) throw py::type_error("dtype must be float32 or float64");
    double operations_per_second = 0;
    flatconv::bind::check(
        flatconv::measure_peak(single ? flatconv::DType::float32 : flatconv::DType::float64, operations_per_second));
    return operations_per_second;
}

}  // namespace

PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
    flatconv::bind::main_thread =
        py::module_::import("threading").attr("main_thread")().attr("ident").cast<unsigned long>();
    module.attr("__version__") = FLATCONV_VERSION_STRING;
    module.attr("depth_block") = flatconv::depth_block;
    module.def("conv", flatconv::bind::conv, py::arg("x"), py::arg("weight"), py::arg("bias").none(true),
               py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"), py::arg("padding_mode"),
               py::arg("channels_last"), py::arg("activation").none(true), py::arg("residual").none(true),
               py::arg("out").none(true), py::arg("threads"), py::arg("algorithm"), py::arg("workspace_limit"));
    module.def("conv_bytes", flatconv::bind::conv_bytes, py::arg("x"), py::arg("weight"), py::arg("x_zero_point"),
               py::arg("weight_zero_points"), py::arg("stride"), py::arg("padding"), py::arg("dilation"),
               py::arg("groups"), py::arg("channels_last"), py::arg("requantization").none(true),
               py::arg("out").none(true), py::arg("threads"), py::arg("workspace_limit"));
    using flatconv::bind::PackedLayer;
    py::class_<PackedLayer>(module, "PackedLayer")
        .def(py::init<const py::array&, const py::object&, const py::tuple&, const py::object&, const py::tuple&,
                      std::int64_t, std::string_view, bool, const py::tuple&, bool, const py::object&, std::string_view,
                      std::int64_t>(),
             py::arg("weight"), py::arg("bias").none(true), py::arg("stride"), py::arg("padding"), py::arg("dilation"),
             py::arg("groups"), py::arg("padding_mode"), py::arg("transposed"), py::arg("output_padding"),
             py::arg("channels_last"), py::arg("activation").none(true), py::arg("algorithm"),
             py::arg("workspace_limit"))
        .def("run", &PackedLayer::run, py::arg("x"), py::arg("residual").none(true), py::arg("out").none(true),
             py::arg("threads"))
        .def("workspace_bytes", &PackedLayer::workspace_bytes, py::arg("batch"), py::arg("input"), py::arg("threads"),
             py::arg("x_dtype"))
        .def("explain", &PackedLayer::explain, py::arg("batch"), py::arg("input"), py::arg("threads"),
             py::arg("x_dtype"));
    module.def("im2col", flatconv::bind::im2col, py::arg("x"), py::arg("kernel_size"), py::arg("stride"),
               py::arg("padding"), py::arg("dilation"), py::arg("padding_mode"), py::arg("channels_last"),
               py::arg("threads"), py::arg("transposed"));
    module.def("col2im", flatconv::bind::col2im, py::arg("regions"), py::arg("x_shape"), py::arg("kernel_size"),
               py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("padding_mode"),
               py::arg("channels_last"), py::arg("threads"), py::arg("transposed"));
    flatconv::bind::register_adjoints(module);
    module.def("get_num_threads", get_num_threads);
    module.def(
        "set_num_threads", [](int threads) { flatconv::bind::check(flatconv::set_num_threads(threads)); },
        py::arg("threads"));
    module.def("instruction_sets", instruction_sets);
    module.def("get_isa", get_isa);
    module.def("set_work_per_thread", [](double work) { flatconv::bind::work_per_thread = work; }, py::arg("work"));
    module.def(
        "set_isa", [](const std::string& name) { flatconv::bind::check(flatconv::set_isa(name.c_str())); },
        py::arg("name"));
    module.def("measure_peak", measure_peak, py::arg("dtype"));
    module.def("compiler", flatconv::compiler);
}
